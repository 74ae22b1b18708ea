"""Pods while their images are pulled: deleted, given another image."""

from __future__ import annotations

import asyncio
from typing import Any

from agent.runtime.shared_pulls import LINGER_SECONDS
from control.api.builtin_kinds import PODS
from tests.fakes.agent_node import HollowNode


def container(image: str) -> dict[str, Any]:
    return {"name": "web", "image": image, "imagePullPolicy": "IfNotPresent"}


def hang(node: HollowNode, reference: str) -> None:
    node.runtime.add_registry_image(reference)
    node.runtime.pull_gates[reference] = asyncio.get_running_loop().create_future()


async def test_a_pod_that_is_deleted_while_it_pulls_is_gone_at_once_and_its_pull_soon(node: HollowNode) -> None:
    hang(node, "slow:1")
    await node.create(containers=[container("slow:1")])
    assert (await node.status())["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating"

    await node.delete()
    await node.settle(1)
    assert await node.find() is None
    assert node.runtime.cancelled_pulls == []
    await node.settle(LINGER_SECONDS)

    assert node.runtime.cancelled_pulls == ["slow:1"]


async def test_the_pod_that_replaces_it_goes_on_with_the_pull(node: HollowNode) -> None:
    hang(node, "slow:1")
    await node.create(containers=[container("slow:1")])
    await node.delete()
    await node.create("heir", containers=[container("slow:1")])
    await node.settle(2 * LINGER_SECONDS)
    node.runtime.pull_gates["slow:1"].set_result(None)
    await node.settle(1)

    assert (await node.status("heir"))["phase"] == "Running"
    assert node.runtime.verbs().count("pull_image") == 1


async def test_another_image_takes_the_place_of_the_one_that_is_pulled(node: HollowNode) -> None:
    hang(node, "wrong:1")
    pod = await node.create(containers=[container("wrong:1")])
    patch = {"spec": {"containers": [{**pod["spec"]["containers"][0], "image": "web:1"}]}}
    await node.client.patch(PODS, "web", patch, namespace="default")
    await node.settle(LINGER_SECONDS + 1)

    status = (await node.status())["containerStatuses"][0]
    assert (status["image"], "running" in status["state"]) == ("web:1", True)
    assert node.runtime.cancelled_pulls == ["wrong:1"]
