"""A Pod's cgroup follows its Pod: there before the sandbox, gone after it, whatever happens to the agent."""

from __future__ import annotations

from typing import Any

import pytest

from agent.runtime.fake_runtime import Program
from control.api.objects import ReadOnlyObject
from tests.fakes.agent_node import HollowNode

PODS_ROOT = "podling/test/node-1/kubepods"
LIMITS = {"limits": {"cpu": "1", "memory": "64Mi"}}


async def pod_uid(node: HollowNode) -> str:
    pod = await node.find()
    assert pod is not None
    return str(pod["metadata"]["uid"])


async def test_pause_and_containers_stand_below_the_pods_cgroup(node: HollowNode) -> None:
    await node.create(resources=LIMITS)

    directory = f"{PODS_ROOT}/burstable/pod{await pod_uid(node)}"
    assert node.cgroup_tree.pods() == {directory}
    assert node.cgroup_tree.values(directory)["memory.max"] == str(64 << 20)
    assert node.cgroup_tree.values(directory)["pids.max"] == "1000"
    for record in await node.containers():
        assert node.runtime.create_body(record.id)["HostConfig"]["CgroupParent"] == f"/{directory}"


async def test_it_goes_with_the_pod(node: HollowNode) -> None:
    await node.create()
    await node.delete(grace=0)
    await node.settle(2)

    assert await node.find() is None
    assert node.cgroup_tree.pods() == set()


async def test_it_goes_when_the_pod_has_completed(node: HollowNode) -> None:
    node.runtime.programs["web:1"] = Program(runs_seconds=1, exit_code=0)
    await node.create(restartPolicy="Never")
    assert len(node.cgroup_tree.pods()) == 1
    await node.settle(3)

    assert (await node.status())["phase"] == "Succeeded"
    assert node.cgroup_tree.pods() == set()


async def test_it_goes_before_the_object_of_a_pod_whose_pause_died(
    node: HollowNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.create(restartPolicy="Never")
    for record in await node.containers():
        node.runtime.exit_container(record.id)
    seen: list[set[str]] = []
    delete = node.reporter.delete

    async def look_and_delete(pod: ReadOnlyObject) -> None:
        seen.append(node.cgroup_tree.pods())
        await delete(pod)

    monkeypatch.setattr(node.reporter, "delete", look_and_delete)
    await node.delete(grace=30)
    await node.settle(2)
    assert await node.find() is None
    assert seen == [set()]


async def test_a_new_sandbox_has_it_again(node: HollowNode) -> None:
    await node.create(resources=LIMITS)
    (pause,) = await node.running("POD")
    node.runtime.exit_container(pause.id, exit_code=137)
    await node.settle(2)

    (directory,) = node.cgroup_tree.pods()
    assert node.cgroup_tree.values(directory)["memory.max"] == str(64 << 20)
    assert len(await node.running("POD")) == 1


async def test_a_new_agent_goes_on_with_it_and_limits_it_again(node: HollowNode) -> None:
    await node.create(resources=LIMITS)
    (directory,) = node.cgroup_tree.pods()
    await node.crash()
    node.cgroup_tree.directories = {item for item in node.cgroup_tree.directories if item[1] != directory}
    await node.start()

    assert node.cgroup_tree.pods() == {directory}
    assert node.cgroup_tree.values(directory)["memory.max"] == str(64 << 20)
    assert len(await node.running("web")) == 1


async def test_nothing_starts_while_it_cannot_be_made(node: HollowNode) -> None:
    node.cgroup_tree.error = OSError("no room")
    await node.create()

    assert [record.pid for record in await node.containers() if record.pid] == []
    (message, *_) = node.event_messages("FailedCreatePodContainer")
    assert message.startswith("unable to ensure pod container exists: cannot set up cgroup podling/test/node-1/")

    node.cgroup_tree.error = None
    await node.settle(5)
    assert (await node.status())["phase"] == "Running"
    assert len([record for record in await node.containers() if record.name.startswith("k8s_POD_")]) == 1


async def test_a_container_of_a_pod_with_limits_has_them_too(node: HollowNode) -> None:
    own: dict[str, Any] = {"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}}
    container = {"name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent", "resources": own}
    await node.create(containers=[container], resources=LIMITS)

    (web,) = await node.running("web")
    settings = node.runtime.create_body(web.id)["HostConfig"]
    assert (settings["CpuQuota"], settings["Memory"]) == (50_000, 64 << 20)
