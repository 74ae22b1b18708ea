"""Who may use which page of the node API."""

from __future__ import annotations

import pytest

from agent.server.access_reviews import ALLOWED_SECONDS, DENIED_SECONDS, TOKEN_SECONDS
from agent.server.client_identity import certificate_user, may_do_anything
from agent.server.request_attributes import api_verb, node_subresources
from control.api.clock import FakeClock
from tests.unit.agent.server.served_node import ServedNode


@pytest.mark.parametrize(
    ("path", "subresources"),
    [
        ("/pods", ["pods", "proxy"]),
        ("/pods/", ["pods", "proxy"]),
        ("/podsandmore", ["proxy"]),
        ("/runningpods/", ["pods", "proxy"]),
        ("/healthz", ["healthz", "proxy"]),
        ("/healthz/syncloop", ["healthz", "proxy"]),
        ("/configz", ["configz", "proxy"]),
        ("/stats/summary", ["stats"]),
        ("/metrics", ["metrics"]),
        ("/metrics/cadvisor", ["metrics"]),
        ("/logs/pods/x", ["log"]),
        ("/checkpoint/default/web/web", ["checkpoint"]),
        ("/containerLogs/default/web/web", ["proxy"]),
        ("/exec/default/web/web", ["proxy"]),
        ("/run/default/web/web", ["proxy"]),
        ("/nothing", ["proxy"]),
    ],
)
def test_each_path_is_a_subresource_of_the_node(path: str, subresources: list[str]) -> None:
    assert node_subresources(path) == subresources


def test_methods_are_verbs() -> None:
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
    assert [api_verb(method) for method in methods] == ["get", "create", "update", "patch", "delete", ""]


@pytest.mark.parametrize(
    ("subject", "trusted"),
    [
        pytest.param({"commonName": "kube-apiserver-kubelet-client"}, True, id="the API server"),
        pytest.param({"commonName": "admin", "organizationName": "system:masters"}, True, id="administrators"),
        pytest.param({"commonName": "system:node:n", "organizationName": "system:nodes"}, False, id="nodes"),
    ],
)
def test_certificates_that_need_no_question(subject: dict[str, str], trusted: bool) -> None:
    user = certificate_user({"subject": tuple(((name, value),) for name, value in subject.items())})
    assert user is not None
    assert user.name == subject["commonName"]
    assert user.groups[-1] == "system:authenticated"
    assert may_do_anything(user) is trusted


def test_a_certificate_without_a_common_name_is_nobodys() -> None:
    assert certificate_user({"subject": ((("organizationName", "system:masters"),),)}) is None


@pytest.mark.parametrize("path", ["/pods", "/healthz", "/metrics", "/nothing"])
async def test_nobody_is_let_in_without_credentials(node: ServedNode, path: str) -> None:
    async with node.anonymous_session() as session, session.get(path) as answer:
        assert (answer.status, await answer.text()) == (401, "Unauthorized")
    async with node.anonymous_session("unknown") as session, session.get(path) as answer:
        assert (answer.status, await answer.text()) == (401, "Unauthorized")


async def test_a_users_rights_decide_about_each_path(node: ServedNode) -> None:
    node.api.users["secret"] = "monitor"
    node.api.allowed |= {("monitor", "get", "metrics"), ("monitor", "get", "pods")}
    async with node.anonymous_session("secret") as session:
        for path in ("/metrics", "/metrics/resource", "/pods", "/runningpods/"):
            async with session.get(path) as answer:
                assert answer.status == 200, path
        async with session.get("/configz") as answer:
            text = "Forbidden (user=monitor, verb=get, resource=nodes, subresource(s)=[configz proxy])\n"
            assert (answer.status, await answer.text()) == (403, text)
        async with session.post("/run/default/web/web?cmd=true") as answer:
            text = "Forbidden (user=monitor, verb=create, resource=nodes, subresource(s)=[proxy])\n"
            assert (answer.status, await answer.text()) == (403, text)


async def test_the_owner_of_a_certificate_has_its_rights(node: ServedNode) -> None:
    async with node.session("mallory") as session, session.get("/pods") as answer:
        text = "Forbidden (user=mallory, verb=get, resource=nodes, subresource(s)=[pods proxy])\n"
        assert (answer.status, await answer.text()) == (403, text)
    node.api.allowed.add(("alice", "get", "proxy"))
    async with node.session("alice") as session, session.get("/pods") as answer:
        assert answer.status == 200


async def test_answers_are_kept_for_their_time(node: ServedNode) -> None:
    clock = node.runtime.clock
    assert isinstance(clock, FakeClock)
    node.api.users["secret"] = "monitor"
    node.api.allowed.add(("monitor", "get", "metrics"))

    async def ask(path: str) -> list[tuple[str, ...]]:
        node.api.asked.clear()
        async with node.anonymous_session("secret") as session, session.get(path):
            return list(node.api.asked)

    metrics, stats = ("monitor", "get", "metrics"), ("monitor", "get", "stats")
    assert await ask("/metrics") == [("secret",), metrics]
    assert await ask("/stats/summary") == [stats]
    assert await ask("/metrics") == await ask("/stats/summary") == []
    await clock.advance(DENIED_SECONDS)
    assert await ask("/stats/summary") == [stats]
    assert await ask("/metrics") == []
    await clock.advance(TOKEN_SECONDS)
    assert await ask("/metrics") == [("secret",)]
    await clock.advance(ALLOWED_SECONDS)
    assert await ask("/metrics") == [("secret",), metrics]


async def test_while_the_api_is_away_only_certificates_that_it_need_not_judge_are_let_in(node: ServedNode) -> None:
    node.api.is_away = True
    async with node.session("admin", ("system:masters",)) as session, session.get("/pods") as answer:
        assert answer.status == 200
    async with node.anonymous_session("secret") as session, session.get("/pods") as answer:
        assert answer.status == 401
    async with node.session("alice") as session, session.get("/pods") as answer:
        text = "Authorization error (user=alice, verb=get, resource=nodes, subresource=pods)"
        assert (answer.status, await answer.text()) == (500, text)
