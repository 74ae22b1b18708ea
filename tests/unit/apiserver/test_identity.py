from __future__ import annotations

import orjson
import pytest

from control.api.exchange import ApiRequest, User
from tests.fakes.api_server import RunningApiServer, running_api_server
from tests.unit.apiserver.api_calls import ApiCalls

REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
TOKENS = {
    "t-admin": User(name="root", groups=("system:masters", "system:authenticated")),
    "t-bob": User(name="bob", groups=("system:authenticated",)),
}


async def ask(server: RunningApiServer, path: str, **headers: str) -> int:
    response = await server.endpoint(ApiRequest(method="GET", path=path, headers=headers))
    return response.status


@pytest.mark.parametrize(
    ("token", "status"), [("", 403), ("Bearer wrong", 401), ("Bearer t-bob", 403), ("Bearer t-admin", 200)]
)
async def test_identity_decides_the_answer(token: str, status: int) -> None:
    async with running_api_server(https=False, static_tokens=TOKENS) as server:
        headers = {"authorization": token} if token else {}
        assert await ask(server, "/api/v1/pods", **headers) == status


async def test_anonymous_may_ask_for_health_and_version_alone() -> None:
    async with running_api_server(https=False) as server:
        for path in ("/healthz", "/livez", "/readyz", "/version"):
            assert await ask(server, path) == 200
        for path in ("/api", "/apis", "/openapi/v2", "/metrics", "/livez/ping", "/api/v1/pods", "/podling/status"):
            assert await ask(server, path) == 403
        response = await server.endpoint(ApiRequest(method="GET", path="/api/v1/namespaces/default/pods"))
        assert response.body is not None
        assert orjson.loads(response.body)["message"] == (
            'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group ""'
            ' in the namespace "default"'
        )


async def test_anonymous_requests_may_be_refused_altogether() -> None:
    async with running_api_server(https=False, allows_anonymous=False) as server:
        assert await ask(server, "/readyz") == 401


async def test_authenticated_users_may_discover() -> None:
    async with running_api_server(https=False, static_tokens=TOKENS) as server:
        for path in ("/api", "/apis", "/apis/apps/v1", "/version", "/openapi/v3"):
            assert await ask(server, path, authorization="Bearer t-bob") == 200


async def test_impersonation_takes_user_groups_uid_and_extra(api: ApiCalls) -> None:
    headers = {
        "impersonate-user": "u1",
        "impersonate-group": "g1\ng2",
        "impersonate-uid": "uid-1",
        "impersonate-extra-scopes": "s1",
    }
    answer = await api.call("POST", REVIEW, {}, expect=201, headers=headers)
    assert answer["status"]["userInfo"] == {
        "username": "u1",
        "uid": "uid-1",
        "groups": ["g1", "g2", "system:authenticated"],
        "extra": {"scopes": ["s1"]},
    }


async def test_impersonation_needs_permission_and_a_user(server: RunningApiServer) -> None:
    bob = ApiCalls(server.endpoint, TOKENS["t-bob"])
    status = await bob.call("POST", REVIEW, {}, expect=403, headers={"impersonate-user": "root"})
    assert 'User "bob" cannot impersonate resource "users" in API group "" at the cluster scope' in status["message"]
    status = await ApiCalls(server.endpoint).call("POST", REVIEW, {}, expect=400, headers={"impersonate-group": "g"})
    assert "without impersonating a user name" in status["message"]


async def test_in_flight_requests_are_limited_for_ordinary_users(server: RunningApiServer) -> None:
    limit = server.server._in_flight
    limit.in_flight[True] = 400
    bob = ApiCalls(server.endpoint, TOKENS["t-bob"])
    response = await bob.send("GET", "/version")
    assert (response.status, ("Retry-After", "1") in response.headers) == (429, True)
    assert (await ApiCalls(server.endpoint).send("GET", "/version")).status == 200
    limit.in_flight[True] = 0
    assert (await bob.send("GET", "/version")).status == 200
    assert limit.in_flight[True] == 0


async def test_health_lists_its_checks(api: ApiCalls) -> None:
    verbose = await api.send("GET", "/readyz", query={"verbose": ""})
    assert verbose.body is not None
    assert verbose.body.startswith(b"[+]ping ok\n")
    assert verbose.body.endswith(b"readyz check passed\n")
    assert (await api.send("GET", "/livez/ping")).status == 200
    assert (await api.send("GET", "/livez/nope")).status == 404


async def test_requests_are_counted(api: ApiCalls) -> None:
    await api.call("GET", "/api/v1/nodes")
    metrics = await api.send("GET", "/metrics")
    assert metrics.body is not None
    assert b'apiserver_request_total{code="200",group="",resource="nodes"' in metrics.body


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("HEAD", "/api/v1/namespaces/default", 405),
        ("OPTIONS", "/api/v1/namespaces/default", 405),
        ("POST", "/api/v1/namespaces/default/pods/x", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("GET", "/api/v1/pods/x", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/namespaces/default/configmaps/x/status", 404),
        ("GET", "/apis/nope/v1/things", 404),
        ("GET", "/nope", 404),
    ],
)
async def test_paths_and_methods_that_are_not_served(api: ApiCalls, method: str, path: str, code: int) -> None:
    assert (await api.send(method, path)).status == code


async def test_bootstrap_is_made_once(server: RunningApiServer) -> None:
    before = server.storage.revision
    await server.server.start()
    assert server.storage.revision == before
    calls = ApiCalls(server.endpoint)
    service = await calls.call("GET", "/api/v1/namespaces/default/services/kubernetes")
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    await calls.call("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin")
    await calls.call("GET", "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical")
