"""Reporting statuses: minimal patches, newest wins, retries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.pods.status_reporter import StatusReporter, status_changes
from control.api.builtin_kinds import PODS
from control.api.clock import FakeClock
from control.api.errors import ApiError
from control.api.exchange import User
from control.api.meta import find_condition
from control.client.client import Client
from control.client.local_transport import LocalTransport
from tests.fakes.agent_node import HollowNode, PodEndpoint, make_pod

READY = {"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        pytest.param({}, {"phase": "Running"}, {"phase": "Running"}, id="a new field"),
        pytest.param({"phase": "Running"}, {"phase": "Running"}, {}, id="nothing changed"),
        pytest.param(
            {"conditions": [{**READY, "lastProbeTime": "x"}]},
            {"conditions": [READY]},
            {},
            id="probe times are no change",
        ),
        pytest.param(
            {"conditions": [{**READY, "status": "False"}, {"type": "Foreign", "status": "True"}]},
            {"conditions": [READY]},
            {"$setElementOrder/conditions": [{"type": "Foreign"}, {"type": "Ready"}], "conditions": [READY]},
            id="only changed conditions are sent, and stand after those of others",
        ),
        pytest.param(
            {"conditions": [{**READY, "status": "False", "reason": "ContainersNotReady", "message": "not yet"}]},
            {"conditions": [READY]},
            {
                "$setElementOrder/conditions": [{"type": "Ready"}],
                "conditions": [{**READY, "reason": None, "message": None}],
            },
            id="the reason of an old state goes with it",
        ),
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Foreign", "status": "True"}]},
            {"conditions": []},
            {
                "$setElementOrder/conditions": [{"type": "Foreign"}],
                "conditions": [{"type": "PodScheduled", "$patch": "delete"}],
            },
            id="a condition of the node's own that holds no more goes",
        ),
        pytest.param(
            {"phase": "Pending", "reason": "Old", "resize": "Proposed", "nominatedNodeName": "n"},
            {"phase": "Running"},
            {"phase": "Running", "reason": None, "nominatedNodeName": None},
            id="a field of the node's own that is told no more goes",
        ),
        pytest.param(
            {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}},
            {"resources": {"limits": {"cpu": "2"}}},
            {"resources": {"limits": {"cpu": "2", "memory": None}, "requests": None}},
            id="amounts that are gone go",
        ),
        pytest.param(
            {"podIPs": [{"ip": "10.0.0.1"}]},
            {"podIPs": [{"ip": "10.0.0.2"}]},
            {"podIPs": [{"$patch": "replace"}, {"ip": "10.0.0.2"}]},
            id="a new address replaces the old one",
        ),
    ],
)
def test_status_changes(old: dict[str, Any], new: dict[str, Any], patch: dict[str, Any]) -> None:
    assert status_changes(old, new) == patch


async def make() -> tuple[StatusReporter, PodEndpoint, Client, FakeClock, dict[str, Any]]:
    api, clock = PodEndpoint(), FakeClock()
    client = Client(LocalTransport(api, User(name="node")))
    pod = await client.create(PODS, make_pod())
    return StatusReporter(client, clock), api, client, clock, pod


async def test_the_newest_status_wins_while_the_server_is_away() -> None:
    reporter, api, client, clock, pod = await make()
    api.fail_next(ApiError(503, "ServiceUnavailable", "away"), times=2, method="PATCH")
    for phase in ("Pending", "Running", "Succeeded"):
        reporter.submit(pod, {"phase": phase})
    for _ in range(4):
        await clock.advance(1)
    await reporter.flush(pod["metadata"]["uid"])
    assert (await client.get(PODS, "web", namespace="default"))["status"]["phase"] == "Succeeded"
    assert len([request for request in api.requests if request.method == "PATCH"]) == 3


async def test_a_namesake_is_never_touched() -> None:
    reporter, _, client, _, pod = await make()
    old = {**pod, "metadata": {**pod["metadata"], "uid": "another"}}
    reporter.submit(old, {"phase": "Failed"})
    await reporter.flush("another")
    await reporter.delete(old)
    assert "status" not in await client.get(PODS, "web", namespace="default")


async def test_deleting_a_pod_that_is_gone_succeeds() -> None:
    reporter, _, client, _, pod = await make()
    await reporter.delete(pod)
    await reporter.delete(pod)
    assert await client.find(PODS, "web", namespace="default") is None


async def test_what_somebody_else_changed_is_reported_again() -> None:
    reporter, _, client, _, pod = await make()
    status = {"phase": "Running", "conditions": [READY]}
    reporter.submit(pod, status)
    await reporter.flush(pod["metadata"]["uid"])
    marked = {"status": {"conditions": [{**READY, "status": "False"}]}}
    seen = await client.patch(PODS, "web", marked, namespace="default", subresource="status")
    reporter.reconcile(seen, status)
    await reporter.flush(pod["metadata"]["uid"])
    now = await client.get(PODS, "web", namespace="default")
    assert now["status"]["conditions"] == [READY]


async def test_an_older_echo_is_no_reason_to_report_again() -> None:
    reporter, api, client, _, pod = await make()
    uid = pod["metadata"]["uid"]
    reporter.submit(pod, {"phase": "Pending", "conditions": []})
    await reporter.flush(uid)
    older = await client.get(PODS, "web", namespace="default")
    status = {"phase": "Running", "conditions": [READY]}
    reporter.submit(pod, status)
    await reporter.flush(uid)
    before = len(api.requests)
    reporter.reconcile(older, status)
    await reporter.flush(uid)
    assert len(api.requests) == before


async def test_a_pod_that_is_forgotten_while_its_status_is_sent_leaves_nothing() -> None:
    reporter, api, client, _, pod = await make()
    uid = pod["metadata"]["uid"]
    patch = client.patch

    async def forget_and_patch(*arguments: Any, **options: Any) -> Any:
        answer = await patch(*arguments, **options)
        reporter.forget(uid)
        return answer

    client.patch = forget_and_patch  # type: ignore[method-assign]
    status = {"phase": "Running", "conditions": []}
    reporter.submit(pod, status)
    await reporter.flush(uid)
    seen = await client.get(PODS, "web", namespace="default")
    sent = len(api.requests)
    reporter.reconcile(seen, {**status, "phase": "Failed"})
    await reporter.flush(uid)
    assert len(api.requests) == sent


async def test_conditions_of_others_are_never_sent() -> None:
    reporter, _, client, _, pod = await make()
    gate = {"type": "example.com/gate", "status": "False"}
    await client.patch(PODS, "web", {"status": {"conditions": [gate]}}, namespace="default", subresource="status")
    reporter.submit(pod, {"phase": "Running", "conditions": [{**gate, "status": "True"}, READY]})
    await reporter.flush(pod["metadata"]["uid"])
    now = await client.get(PODS, "web", namespace="default")
    assert {item["type"]: item["status"] for item in now["status"]["conditions"]} == {
        "example.com/gate": "False",
        "Ready": "True",
    }


async def test_a_pod_marked_not_ready_while_its_node_was_silent_is_ready_again(tmp_path: Path) -> None:
    node = HollowNode(tmp_path)
    await node.start()
    try:
        await node.create()
        marked = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
        await node.client.patch(PODS, "web", marked, namespace="default", subresource="status")
        await node.settle()
        assert find_condition((await node.status())["conditions"], "Ready")["status"] == "True"  # type: ignore[index]
    finally:
        await node.crash()
