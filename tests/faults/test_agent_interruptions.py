"""The agent stopped at every call to engine, cgroups and API: a restart converges, nothing is lost or doubled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.cgroups.control_files import control_files
from agent.cgroups.limits import compute_pod_limits
from agent.runtime.fake_container import Program
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.identity import parse_identity
from agent.runtime.protocol import ContainerRecord, ContainerState
from control.api.builtin_kinds import PODS
from control.api.exchange import User
from control.api.objects import ReadOnlyObject
from control.client.client import Client
from control.client.local_transport import LocalTransport
from tests.fakes.agent_node import HollowNode
from tests.faults.interruptible_agent import Fate, InterruptibleApi, InterruptibleCgroups, InterruptibleRuntime

Story = Callable[[HollowNode, FakeRuntime], Awaitable[None]]
Check = Callable[[HollowNode, str], Awaitable[None]]

INIT = {"name": "init", "image": "init:1", "imagePullPolicy": "IfNotPresent"}
WEB = {"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "resources": {"requests": {"cpu": "100m"}}}
RESIZED = {**WEB, "resources": {"requests": {"cpu": "500m"}}}
SIDE = {"name": "side", "image": "pulled:1"}
#: Loop turns after which a start that makes no more calls is taken to hang at the fatal one.
TURNS_MAX = 100
#: Longer than the longest back-off after one failure.
SETTLE_TRIES_MAX = 8


async def start_pod(node: HollowNode, engine: FakeRuntime) -> None:
    """An init container, an image that is there, an image that has to be pulled."""
    await node.create("new", initContainers=[INIT], containers=[WEB, SIDE])
    await node.settle(3)


async def lose_sandbox(node: HollowNode, engine: FakeRuntime) -> None:
    """Pause of the Pod `old` dies."""
    engine.exit_container((await find_running(engine, "POD", "old")).id, exit_code=137)
    await node.settle(3)


async def lose_container(node: HollowNode, engine: FakeRuntime) -> None:
    """The container of the Pod `old` dies."""
    engine.exit_container((await find_running(engine, "web", "old")).id, exit_code=1)
    await node.settle(3)


async def delete_pod(node: HollowNode, engine: FakeRuntime) -> None:
    """The Pod `old` is deleted."""
    await node.delete("old", grace=2)
    await node.settle(5)


async def change_image(node: HollowNode, engine: FakeRuntime) -> None:
    """The Pod `old` gets another image."""
    await node.client.patch(PODS, "old", {"spec": {"containers": [{**WEB, "image": "web:2"}]}}, namespace="default")
    await node.settle(3)


async def debug_pod(node: HollowNode, engine: FakeRuntime) -> None:
    """The Pod `old` gets an ephemeral container."""
    debugger = {**WEB, "name": "debugger", "targetContainerName": "web"}
    await node.client.patch(PODS, "old", {"spec": {"ephemeralContainers": [debugger]}}, namespace="default")
    await node.settle(3)


async def start_over(node: HollowNode, engine: FakeRuntime) -> None:
    """A Pod with an init container starts over as a whole."""
    rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
    worker = {**WEB, "name": "worker", "restartPolicy": "Never", "restartPolicyRules": rules}
    await node.create("whole", initContainers=[INIT], containers=[WEB, worker], restartPolicy="Always")
    await node.settle(2)
    found = [item for item in await engine.list_containers({}) if item.name.startswith("k8s_worker_whole_")]
    if found and found[0].state is ContainerState.RUNNING:
        engine.exit_container(found[0].id, exit_code=42)
    await node.settle(4)


async def help_pod(node: HollowNode, engine: FakeRuntime) -> None:
    """A Pod with a sidecar, which dies."""
    sidecar = {**WEB, "name": "sidecar", "restartPolicy": "Always"}
    await node.create("helped", initContainers=[sidecar, INIT], containers=[WEB])
    await node.settle(2)
    found = [item for item in await engine.list_containers({}) if item.name.startswith("k8s_sidecar_helped_")]
    if found and found[0].state is ContainerState.RUNNING:
        engine.exit_container(found[0].id, exit_code=1)
    await node.settle(2)


async def resize_pod(node: HollowNode, engine: FakeRuntime) -> None:
    """The Pod `old` gets other resources."""
    await node.client.patch(PODS, "old", {"spec": {"containers": [RESIZED]}}, namespace="default")
    await node.settle(3)


STORIES: dict[str, Story] = {
    "a Pod starts": start_pod,
    "a sandbox dies": lose_sandbox,
    "a container dies": lose_container,
    "a Pod is deleted": delete_pod,
    "an image changes": change_image,
    "a Pod is debugged": debug_pod,
    "a Pod starts over": start_over,
    "a Pod has a sidecar": help_pod,
    "a Pod is resized": resize_pod,
}


async def find_running(engine: FakeRuntime, container: str, pod: str) -> ContainerRecord:
    [found] = [
        record
        for record in await engine.list_containers({})
        if record.state is ContainerState.RUNNING and record.name.startswith(f"k8s_{container}_{pod}_")
    ]
    return found


async def make_node(directory: Path) -> HollowNode:
    """A stopped node with two Pods that run: `old`, which the story is about, and `bystander`."""
    node = HollowNode(directory)
    node.runtime.add_image("init:1", program=Program(runs_seconds=0.2))
    node.runtime.add_registry_image("pulled:1")
    await node.start()
    for name in ("old", "bystander"):
        await node.create(name, containers=[WEB])
    await node.settle(2)
    await node.crash()
    return node


async def tell(node: HollowNode, story: Story, *, stop_at: int, after: bool) -> Fate:
    """Start the agent, let the story happen, with the agent stopped at the call; then end the agent."""
    engine, cgroups, client = node.runtime, node.cgroup_tree, node.client
    fate = Fate(stop_at=stop_at, after=after)
    node.runtime = InterruptibleRuntime(engine, fate)  # type: ignore[assignment]
    node.cgroup_tree = InterruptibleCgroups(cgroups, fate)  # type: ignore[assignment]
    node.client = Client(LocalTransport(InterruptibleApi(node.api, fate), User(name="system:node:node-1")))
    starting = asyncio.ensure_future(node.start())
    turns = 0
    while not starting.done() and turns < TURNS_MAX:
        await asyncio.to_thread(lambda: None)
        turns = turns + 1 if fate.is_stopped else 0
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    node.client = client
    await story(node, engine)
    crashing = asyncio.ensure_future(node.crash())
    await asyncio.sleep(0)
    fate.die()
    await crashing
    node.runtime, node.cgroup_tree = engine, cgroups
    return fate


@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
async def test_a_stop_at_any_call_converges(tmp_path: Path, story: Story, after: bool) -> None:
    undisturbed = await make_node(tmp_path / "undisturbed")
    calls = (await tell(undisturbed, story, stop_at=0, after=False)).calls
    assert len(calls) > 3
    for number, verb in enumerate(calls, 1):
        told = f"stopped at call {number}, {verb}"
        node = await make_node(tmp_path / str(number))
        bystander = await running_ids(node, "bystander")
        old = await running_ids(node, "old")
        await tell(node, story, stop_at=number, after=after)
        await node.start()
        await settle_in_order(node, told)
        assert await running_ids(node, "bystander") == bystander, told
        if story is start_pod:
            assert await running_ids(node, "old") == old, told
        if story is resize_pod:
            await check_is_resized(node, told)
        await node.crash()


async def check_is_resized(node: HollowNode, told: str) -> None:
    running = await find_running(node.runtime, "web", "old")
    assert node.runtime.create_body(running.id)["HostConfig"]["CpuShares"] == 512, told
    assert running.name.endswith("_0"), f"{told}: it was restarted"


async def settle_in_order(node: HollowNode, told: str, check: Check | None = None) -> None:
    """Let time pass until all is well; the last look tells what is not."""
    check = check or check_order
    for _ in range(SETTLE_TRIES_MAX):
        await node.settle(2.5)
        try:
            return await check(node, told)
        except AssertionError:
            continue
    return await check(node, told)


async def running_ids(node: HollowNode, pod: str) -> set[str]:
    records = await node.runtime.list_containers({})
    return {record.id for record in records if record.state is ContainerState.RUNNING and f"_{pod}_" in record.name}


def lasting_containers(pod: ReadOnlyObject) -> list[Any]:
    sidecars = [item for item in pod["spec"].get("initContainers", ()) if item.get("restartPolicy") == "Always"]
    return [*sidecars, *pod["spec"]["containers"], *pod["spec"].get("ephemeralContainers", ())]


def check_cgroups(node: HollowNode, pods: Mapping[str, Any], told: str) -> None:
    """Every Pod has one cgroup, limited to what the Pod asks for; there are no others."""
    held = {path.rpartition("/pod")[2]: node.cgroup_tree.values(path) for path in node.cgroup_tree.pods()}
    wanted = {
        uid: {file.name: file.text for file in control_files(compute_pod_limits(pod, pids_max=1000), version="2")}
        for uid, pod in pods.items()
    }
    assert held == wanted, told


async def check_order(node: HollowNode, told: str) -> None:
    """Every Pod of the API runs exactly once, in one sandbox; nothing else is on the engine."""
    pods = {pod["metadata"]["uid"]: pod for pod in (await node.client.list(PODS))["items"]}
    running: Counter[tuple[str, str]] = Counter()
    sandboxes: dict[str, str] = {}
    joined: dict[str, str] = {}
    for record in await node.containers():
        identity = parse_identity(record.labels)
        assert identity is not None
        assert identity.pod_uid in pods, f"{told}: {record.name} belongs to no Pod"
        if record.state is ContainerState.RUNNING:
            running[identity.pod_uid, identity.container_name] += 1
            if identity.container_name == "POD":
                sandboxes[identity.pod_uid] = record.id
            else:
                joined[record.id] = identity.pod_uid
    wanted = {
        (uid, name): 1
        for uid, pod in pods.items()
        for name in ("POD", *(container["name"] for container in lasting_containers(pod)))
    }
    assert running == wanted, told
    for container_id, uid in joined.items():
        mode = node.runtime.create_body(container_id)["HostConfig"]["NetworkMode"]
        assert mode == f"container:{sandboxes[uid]}", told
    check_cgroups(node, pods, told)
    for pod in pods.values():
        assert pod["status"]["phase"] == "Running", told
        assert all(item["ready"] for item in pod["status"]["containerStatuses"]), told
        if pod["metadata"]["name"] not in ("old", "whole"):
            assert not any(item["restartCount"] for item in pod["status"]["containerStatuses"]), told
