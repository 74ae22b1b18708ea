"""The agent stopped at every call while static Pods begin, change and end: one of a name runs, with one mirror."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.protocol import ContainerState
from control.api.builtin_kinds import PODS
from control.api.objects import Object
from tests.fakes.agent_node import HollowNode
from tests.fakes.static_pod_node import StaticPodNode
from tests.faults.test_agent_interruptions import WEB, Story, check_cgroups, running_ids, settle_in_order, tell

MIRROR = "web-node-1"


def manifest(image: str) -> Object:
    """What the file says."""
    spec: Mapping[str, Any] = {"terminationGracePeriodSeconds": 2, "containers": [{**WEB, "image": image}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}


async def begin(node: HollowNode, engine: FakeRuntime) -> None:
    """Another file."""
    await write(node, "other", {**manifest("web:1"), "metadata": {"name": "other"}})


async def change(node: HollowNode, engine: FakeRuntime) -> None:
    """Another Pod in the file."""
    await write(node, "web", manifest("web:2"))


async def end(node: HollowNode, engine: FakeRuntime) -> None:
    """The file is removed."""
    await write(node, "web", None)


async def delete_mirror(node: HollowNode, engine: FakeRuntime) -> None:
    """Somebody deletes what the API shows."""
    await node.delete(MIRROR, grace=0)
    await node.settle(4)


async def write(node: HollowNode, name: str, pod: Object | None) -> None:
    assert isinstance(node, StaticPodNode)
    node.manifests.write(name, pod)
    await node.settle(5)


STORIES: Mapping[str, Story] = {
    "a file comes": begin,
    "a file changes": change,
    "a file goes": end,
    "a mirror is deleted": delete_mirror,
}


async def make_node(directory: Path) -> StaticPodNode:
    """A stopped node with a static Pod, which the story is about, and a bystander of the API."""
    node = StaticPodNode(directory)
    node.manifests.write("web", manifest("web:1"))
    await node.start()
    await node.create("bystander", containers=[WEB])
    await node.settle(2)
    await node.crash()
    return node


@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
async def test_a_stop_at_any_call_leaves_one_pod_and_one_mirror_of_each_file(
    tmp_path: Path, story: Story, after: bool
) -> None:
    undisturbed = await make_node(tmp_path / "undisturbed")
    calls = (await tell(undisturbed, story, stop_at=0, after=False)).calls
    assert len(calls) > 3
    for number, call in enumerate(calls, 1):
        told = f"stopped at call {number}, {call}"
        node = await make_node(tmp_path / str(number))
        before = {name: await running_ids(node, name) for name in ("bystander", MIRROR)}
        await tell(node, story, stop_at=number, after=after)
        await node.start()
        await settle_in_order(node, told, check_files)
        assert await running_ids(node, "bystander") == before["bystander"], told
        if story in (begin, delete_mirror):
            assert await running_ids(node, MIRROR) == before[MIRROR], told
        await node.crash()


async def check_files(node: HollowNode, told: str) -> None:
    """Each file has its Pod, running once, and its mirror; there is nothing else but the bystander."""
    assert isinstance(node, StaticPodNode)
    static = {pod["metadata"]["uid"]: pod for pod in await node.manifests.read()}
    objects = (await node.client.list(PODS))["items"]
    (bystander,) = [pod for pod in objects if pod["metadata"]["name"] == "bystander"]
    mirrors = [pod for pod in objects if pod is not bystander]
    hashes = [pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] for pod in mirrors]
    assert sorted(hashes) == sorted(static), told
    for mirror in mirrors:
        assert mirror["status"]["phase"] == "Running", told
        assert mirror["status"]["containerStatuses"][0]["image"] == mirror["spec"]["containers"][0]["image"], told
    pods = {**static, bystander["metadata"]["uid"]: bystander}
    wanted = sorted((uid, name) for uid in pods for name in ("POD", "web"))
    labels = [record.labels for record in await node.containers() if record.state is ContainerState.RUNNING]
    found = [(one["io.kubernetes.pod.uid"], one["io.kubernetes.container.name"]) for one in labels]
    assert sorted(found) == wanted, told
    assert {record.labels["io.kubernetes.pod.uid"] for record in await node.containers()} == set(pods), told
    check_cgroups(node, pods, told)
