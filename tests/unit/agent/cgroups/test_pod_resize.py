"""In-place resize of a Pod as a whole (KEP-5419), and of its cgroup when containers are resized."""

from __future__ import annotations

from typing import Any

import pytest

from agent.pods.resize import PendingResize
from control.api.builtin_kinds import PODS
from control.api.objects import Object
from tests.fakes.agent_node import HollowNode


def limits(cpu: str, memory: str) -> Object:
    return {"limits": {"cpu": cpu, "memory": memory}, "requests": {"cpu": cpu, "memory": memory}}


def container(name: str, resources: Object | None = None) -> Object:
    found: Object = {"name": name, "image": "web:1", "imagePullPolicy": "IfNotPresent"}
    return {**found, "resources": resources} if resources else found


async def cgroup(node: HollowNode) -> dict[str, str]:
    (directory,) = node.cgroup_tree.pods()
    return node.cgroup_tree.values(directory)


async def patch(node: HollowNode, **spec: Any) -> None:
    await node.client.patch(PODS, "web", {"spec": spec}, namespace="default")
    await node.settle()


async def settings(node: HollowNode, name: str) -> tuple[Any, Any]:
    (running,) = await node.running(name)
    host_config = node.runtime.create_body(running.id)["HostConfig"]
    return host_config.get("CpuQuota"), host_config.get("Memory")


async def test_the_status_says_what_the_pod_as_a_whole_was_given(node: HollowNode) -> None:
    await node.create(resources=limits("1", "64Mi"))
    status = await node.status()

    assert status["resources"] == limits("1", "64Mi")
    assert status["allocatedResources"] == {"cpu": "1", "memory": "64Mi"}


async def test_the_status_of_a_pod_without_resources_of_its_own_tells_those_of_its_containers(
    node: HollowNode,
) -> None:
    await node.create(containers=[container("web", limits("1", "64Mi")), container("other", limits("500m", "64Mi"))])
    status = await node.status()

    assert status["resources"] == limits("1500m", "128Mi")
    assert status["allocatedResources"] == {"cpu": "1500m", "memory": "128Mi"}


async def test_cgroup_and_the_containers_without_limits_of_their_own_follow_the_pod(node: HollowNode) -> None:
    await node.create(
        containers=[container("web"), container("own", limits("500m", "16Mi"))], resources=limits("1", "64Mi")
    )
    before = {record.id for record in await node.containers()}

    await patch(node, resources=limits("2", "32Mi"))

    assert ((await cgroup(node))["cpu.max"], (await cgroup(node))["memory.max"]) == ("200000 100000", str(32 << 20))
    assert await settings(node, "web") == (200_000, 32 << 20)
    assert await settings(node, "own") == (50_000, 16 << 20)
    assert {record.id for record in await node.containers()} == before
    assert (await node.status())["resources"] == limits("2", "32Mi")
    updates = node.runtime.verbs().count("update_container")
    await node.settle(30)
    assert node.runtime.verbs().count("update_container") == updates == 1


async def test_the_cgroup_grows_before_its_containers_and_shrinks_after_them(node: HollowNode) -> None:
    await node.create(containers=[container("web", limits("1", "64Mi"))])
    seen: list[str] = []
    update = node.runtime.update_container

    async def watch(container_id: str, wanted: Any) -> None:
        seen.append((await cgroup(node))["memory.max"])
        await update(container_id, wanted)

    node.runtime.update_container = watch  # type: ignore[method-assign]
    await patch(node, containers=[container("web", limits("1", "128Mi"))])
    await patch(node, containers=[container("web", limits("1", "32Mi"))])

    assert seen == [str(128 << 20), str(128 << 20)]
    assert (await cgroup(node))["memory.max"] == str(32 << 20)


@pytest.mark.parametrize("is_first", [True, False], ids=["while it grows", "while it shrinks"])
async def test_what_the_kernel_refuses_is_reported_and_tried_again(node: HollowNode, is_first: bool) -> None:
    await node.create(resources=limits("1", "64Mi"))
    write, refusals = node.cgroup_tree.write, [OSError("busy")]

    def refuse(hierarchy: str, path: str, name: str, text: str) -> None:
        if name == "memory.max" and refusals:
            raise refusals.pop()
        write(hierarchy, path, name, text)

    node.cgroup_tree.write = refuse  # type: ignore[method-assign]
    wanted = limits("1", "128Mi") if is_first else limits("1", "32Mi")
    await patch(node, resources=wanted)
    if not is_first:
        assert (await node.status())["resources"] == limits("1", "64Mi")
        conditions = {item["type"]: item for item in (await node.status())["conditions"]}
        assert "busy" in conditions["PodResizeInProgress"]["message"]
        assert "busy" in node.event_messages("ResizeError")[0]

    await node.settle(11)
    assert (await node.status())["resources"] == wanted
    assert "PodResizeInProgress" not in {item["type"] for item in (await node.status())["conditions"]}


async def test_the_cgroup_keeps_the_memory_that_its_containers_use_together(node: HollowNode) -> None:
    await node.create(resources=limits("1", "64Mi"), containers=[container("web", None), container("db", None)])
    node.runtime.memory_used = 20 << 20
    await patch(node, resources=limits("1", "32Mi"))
    assert (await cgroup(node))["memory.max"] == str(64 << 20)
    conditions = {item["type"]: item for item in (await node.status())["conditions"]}
    assert conditions["PodResizeInProgress"]["message"] == (
        "cannot decrease memory limits: attempting to set pod memory limit (33554432) below current usage (41943040)"
    )
    node.runtime.memory_used = 1 << 20
    await node.settle(11)
    assert (await cgroup(node))["memory.max"] == str(32 << 20)


async def test_a_resize_of_the_pod_waits_for_room(node: HollowNode) -> None:
    await node.create(resources=limits("1", "64Mi"))
    node.pending_resize = PendingResize(reason="Deferred", message="no room")
    await patch(node, resources=limits("2", "64Mi"))
    assert (await cgroup(node))["cpu.max"] == "100000 100000"
    assert (await node.status())["allocatedResources"]["cpu"] == "1"

    node.pending_resize = None
    await node.settle(181)
    assert (await cgroup(node))["cpu.max"] == "200000 100000"
    assert (await node.status())["allocatedResources"]["cpu"] == "2"


async def test_a_new_agent_carries_out_what_changed_meanwhile(node: HollowNode) -> None:
    await node.create(resources=limits("1", "64Mi"))
    await node.crash()
    await node.client.patch(PODS, "web", {"spec": {"resources": limits("1", "32Mi")}}, namespace="default")
    await node.start()

    assert (await cgroup(node))["memory.max"] == str(32 << 20)
    assert (await node.status())["resources"] == limits("1", "32Mi")
