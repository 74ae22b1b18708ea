"""In-place resize: what changed, whether the node has the room, and what becomes of a running Pod."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent.pods.observed import ObservedContainer, ObservedPod
from agent.pods.resize import PendingResize, allocated_pod, changed_resources, judge_resize, needs_restart
from agent.pods.resize_progress import resize_message
from agent.runtime.fake_container import Program
from agent.runtime.protocol import ContainerRecord, ContainerState, RuntimeFailure
from control.api.builtin_kinds import PODS
from control.api.objects import Object
from tests.fakes.agent_node import HollowNode


def resources(cpu: str = "100m", memory: str = "64Mi", limits: Object | None = None) -> Object:
    found: Object = {"requests": {"cpu": cpu, "memory": memory}}
    return {**found, "limits": limits} if limits else found


def running(held: Object | None) -> ObservedContainer:
    record = ContainerRecord(
        id="c1",
        name="n",
        labels={},
        state=ContainerState.RUNNING,
        image="i",
        image_id="i",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return ObservedContainer(record=record, name="web", attempt=0, resources=json.dumps(held) if held else "")


@pytest.mark.parametrize(
    ("wanted", "held", "changed"),
    [
        pytest.param(resources(), resources(), [], id="nothing"),
        pytest.param(resources("200m"), resources(), ["cpu"], id="a request"),
        pytest.param(resources(memory="1Gi"), resources(), ["memory"], id="memory"),
        pytest.param(resources(cpu="1"), resources(cpu="1000m"), [], id="another way to write it"),
        pytest.param(resources(cpu="1", memory="1Gi"), resources(), ["cpu", "memory"], id="new limits"),
        pytest.param(resources(), None, [], id="nobody knows what it has"),
        pytest.param({}, {}, [], id="best effort"),
    ],
)
def test_changed_resources(wanted: Object, held: Object | None, changed: list[str]) -> None:
    assert changed_resources({"name": "web", "resources": wanted}, running(held)) == changed


def test_the_policy_says_for_each_resource_whether_a_restart_is_needed() -> None:
    policy = [
        {"resourceName": "cpu", "restartPolicy": "NotRequired"},
        {"resourceName": "memory", "restartPolicy": "RestartContainer"},
    ]
    assert not needs_restart({"resizePolicy": policy}, ["cpu"])
    assert needs_restart({"resizePolicy": policy}, ["cpu", "memory"])
    assert not needs_restart({}, ["memory"])


def make_pod(name: str, **amounts: Any) -> Object:
    container = {"name": "web", "resources": resources(**amounts)}
    return {"metadata": {"name": name, "namespace": "d", "uid": name}, "spec": {"containers": [container]}}


NODE: Object = {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "1"}}}


@pytest.mark.parametrize(
    ("cpu", "others", "expected"),
    [
        ("1", [], None),
        ("1", [make_pod("other", cpu="1")], None),
        (
            "1500m",
            [make_pod("other", cpu="1")],
            ("Deferred", "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000"),
        ),
        ("3", [], ("Infeasible", "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000")),
    ],
)
def test_judge_resize(cpu: str, others: list[Object], expected: tuple[str, str] | None) -> None:
    pending = judge_resize(make_pod("p", cpu=cpu), NODE, others)
    assert (pending and (pending.reason, pending.message)) == expected


def test_of_two_amounts_that_no_node_has_memory_is_named() -> None:
    pending = judge_resize(make_pod("p", cpu="3", memory="2Gi"), NODE, [])
    expected = "Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824"
    assert pending == PendingResize(reason="Infeasible", message=expected)


@pytest.mark.parametrize(
    ("spec", "error", "expected"),
    [
        (
            {"containers": [{"name": "c0", "resources": resources("100m", "100", {"memory": "9", "cpu": "1"})}]},
            "",
            '{"containers":[{"name":"c0","resources":{"limits":{"cpu":"1","memory":"9"},'
            '"requests":{"cpu":"100m","memory":"100"}}}],"generation":3}',
        ),
        (
            {"initContainers": [{"name": "i"}], "containers": [{"name": "c", "resources": {}}]},
            "no “room”",
            '{"initContainers":[{"name":"i","resources":{}}],"containers":[{"name":"c","resources":{}}],"generation":3,'
            '"error":"no “room”"}',
        ),
    ],
)
def test_messages_show_what_is_wanted_as_the_kubelet_does(spec: Object, error: str, expected: str) -> None:
    assert resize_message({"spec": spec}, "started", generation=3, error=error) == f"Pod resize started: {expected}"


def test_a_pod_is_synced_with_what_its_running_containers_have() -> None:
    pod = make_pod("p", cpu="3")
    observed = ObservedPod(containers={"web": (running(resources()),)})
    assert allocated_pod(pod, observed)["spec"]["containers"][0]["resources"] == resources()
    assert pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "3"


# --- on a node --------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[HollowNode]:
    hollow = HollowNode(tmp_path)
    await hollow.start()
    yield hollow
    await hollow.crash()


CONTAINER = {"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "resources": resources()}


async def resize(node: HollowNode, wanted: Object, *, name: str = "web", **container: Any) -> None:
    patch = {"spec": {"containers": [{**CONTAINER, **container, "name": name, "resources": wanted}]}}
    await node.client.patch(PODS, name, patch, namespace="default")
    await node.settle()


async def end(node: HollowNode, name: str) -> None:
    (container,) = await node.running(name)
    node.runtime.exit_container(container.id)
    await node.settle()


def updates(node: HollowNode) -> list[str]:
    return [call for call in map(str, node.runtime.trace) if "update_container" in call]


async def conditions(node: HollowNode) -> dict[str, tuple[str, str]]:
    return {item["type"]: (item["status"], item.get("reason", "")) for item in (await node.status())["conditions"]}


async def test_a_running_container_gets_other_resources_without_a_restart(node: HollowNode) -> None:
    await node.create(containers=[CONTAINER])
    (before,) = await node.running("web")
    await resize(node, resources(cpu="500m", limits={"cpu": "1", "memory": "128Mi"}))
    (after,) = await node.running("web")
    assert after.id == before.id
    status = (await node.status())["containerStatuses"][0]
    assert status["resources"]["limits"] == {"cpu": "1", "memory": "128Mi"}
    assert status["allocatedResources"]["cpu"] == "500m"
    assert len(updates(node)) == 1
    await node.settle(30)
    assert len(updates(node)) == 1


async def test_a_running_init_container_gets_other_resources_without_a_restart(node: HollowNode) -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    init = {**CONTAINER, "name": "init", "resizePolicy": policy}
    await node.create(initContainers=[init], containers=[CONTAINER])
    (before,) = await node.running("init")
    for cpu in ("500m", "100m"):
        patch = {"spec": {"initContainers": [{**init, "resources": resources(cpu=cpu)}]}}
        await node.client.patch(PODS, "web", patch, namespace="default")
        await node.settle()
        (status,) = (await node.status())["initContainerStatuses"]
        assert status["resources"]["requests"]["cpu"] == status["allocatedResources"]["cpu"] == cpu
        assert "PodResizeInProgress" not in await conditions(node)
    (after,) = await node.running("init")
    assert (after.id, status["restartCount"], len(updates(node))) == (before.id, 0, 2)
    assert len(node.event_messages("ResizeCompleted")) == len(node.event_messages("ResizeStarted")) == 2
    await end(node, "init")
    await node.settle(30)
    assert (await node.status())["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    assert (await node.status())["phase"] == "Running"


async def test_a_policy_that_wants_it_restarts_the_container(node: HollowNode) -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    await node.create(containers=[{**CONTAINER, "resizePolicy": policy}])
    await resize(node, resources(memory="128Mi"), resizePolicy=policy)
    await node.settle(40)
    (after,) = await node.running("web")
    assert after.name.endswith("_1")
    assert "PodResizeInProgress" not in await conditions(node)
    assert len(node.event_messages("ResizeCompleted")) == 1
    assert not updates(node)


async def test_a_resize_is_in_progress_until_the_container_is_stopped_for_it(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    await node.create(containers=[{**CONTAINER, "resizePolicy": policy}])
    await resize(node, resources(memory="128Mi"), resizePolicy=policy)
    assert (await conditions(node))["PodResizeInProgress"] == ("True", "")
    assert node.event_messages("ResizeCompleted") == []
    await node.settle(40)
    assert "PodResizeInProgress" not in await conditions(node)
    assert len(node.event_messages("ResizeCompleted")) == len(node.event_messages("ResizeStarted")) == 1


async def test_a_resize_that_does_not_fit_waits_and_is_carried_out_later(node: HollowNode) -> None:
    await node.create(containers=[CONTAINER])
    node.pending_resize = PendingResize(reason="Deferred", message="no room")
    await resize(node, resources(cpu="2"))
    assert (await conditions(node))["PodResizePending"] == ("True", "Deferred")
    assert (await node.status())["containerStatuses"][0]["allocatedResources"]["cpu"] == "100m"
    wanted = '{"containers":[{"name":"web","resources":{"requests":{"cpu":"2","memory":"64Mi"}}}],"generation":2'
    assert node.event_messages("ResizeDeferred") == [f'Pod resize Deferred: {wanted},"error":"no room"}}']
    node.pending_resize = None
    await node.settle(181)
    assert (await node.status())["containerStatuses"][0]["allocatedResources"]["cpu"] == "2"
    assert "PodResizePending" not in await conditions(node)
    assert node.event_messages("ResizeStarted") == [f"Pod resize started: {wanted}}}"]
    assert node.event_messages("ResizeCompleted") == [f"Pod resize completed: {wanted}}}"]


@pytest.mark.parametrize(
    "make_room",
    [
        pytest.param(lambda node: node.delete("other", grace=0), id="the node has one Pod less"),
        pytest.param(lambda node: resize(node, resources(cpu="10m"), name="other"), id="another Pod wants less"),
        pytest.param(lambda node: end(node, "other"), id="another Pod is complete"),
    ],
)
async def test_a_resize_that_waits_is_carried_out_as_soon_as_there_is_room(
    node: HollowNode, make_room: Callable[[HollowNode], Awaitable[Any]]
) -> None:
    await node.create("other", containers=[{**CONTAINER, "name": "other"}], restartPolicy="Never")
    await node.create(containers=[CONTAINER])
    node.pending_resize = PendingResize(reason="Deferred", message="no room")
    await resize(node, resources(cpu="2"))
    node.pending_resize = None
    await make_room(node)
    assert "PodResizePending" not in await conditions(node)


async def test_a_resize_that_the_engine_refuses_is_reported_and_tried_again(node: HollowNode) -> None:
    await node.create(containers=[CONTAINER])
    node.runtime.inject_error("update_container", RuntimeFailure("device or resource busy"))
    await resize(node, resources(memory="8Mi"))
    assert (await conditions(node))["PodResizeInProgress"] == ("True", "Error")
    (told,) = node.event_messages("ResizeError")
    assert told.startswith("Pod resize error: ")
    assert told.endswith('"generation":2,"error":"web: device or resource busy"}')
    assert node.event_messages("ResizeCompleted") == []
    await node.settle(11)
    assert "PodResizeInProgress" not in await conditions(node)
    assert len(updates(node)) == 2
    assert len(node.event_messages("ResizeCompleted")) == len(node.event_messages("ResizeStarted")) == 1


async def test_memory_that_is_in_use_is_not_taken_away(node: HollowNode) -> None:
    await node.create(containers=[{**CONTAINER, "resources": resources(limits={"cpu": "1", "memory": "128Mi"})}])
    node.runtime.memory_used = 100 << 20
    await resize(node, resources(limits={"cpu": "2", "memory": "100Mi"}))
    assert (await conditions(node))["PodResizeInProgress"] == ("True", "Error")
    assert updates(node) == []
    (told,) = node.event_messages("ResizeError")
    assert 'attempting to set container \\"web\\" memory limit (104857600) below current usage (104857600)' in told
    node.runtime.memory_used = 64 << 20
    await node.settle(11)
    assert len(updates(node)) == 1
    assert len(node.event_messages("ResizeError")) == len(node.event_messages("ResizeCompleted")) == 1


async def test_a_container_at_its_limit_gets_other_cpu_and_more_memory(node: HollowNode) -> None:
    await node.create(containers=[{**CONTAINER, "resources": resources(limits={"cpu": "1", "memory": "128Mi"})}])
    node.runtime.memory_used = 128 << 20
    await resize(node, resources(limits={"cpu": "2", "memory": "128Mi"}))
    await resize(node, resources(limits={"cpu": "2", "memory": "200Mi"}))
    assert len(updates(node)) == 2


async def test_a_resize_that_is_taken_back_leaves_no_error(node: HollowNode) -> None:
    await node.create(containers=[CONTAINER])
    node.runtime.inject_error("update_container", RuntimeFailure("device or resource busy"))
    await resize(node, resources(memory="8Mi"))
    await resize(node, resources())
    assert "PodResizeInProgress" not in await conditions(node)
