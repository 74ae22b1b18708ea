"""Graphics cards: none is given to two containers, none is lost, and a new agent knows who has which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.node.host_facts import read_gpus
from agent.runtime.fake_runtime import Program
from agent.runtime.gpus import device_requests, gpu_count
from control.api.objects import Object
from tests.fakes.agent_node import HollowNode

CARDS = ("GPU-a", "GPU-b", "GPU-c")


def container(name: str, count: int = 1, **fields: Any) -> Object:
    resources = {"limits": {"nvidia.com/gpu": str(count)}} if count else {}
    return {"name": name, "image": "web:1", "imagePullPolicy": "IfNotPresent", "resources": resources, **fields}


async def restart(node: HollowNode, gpus: Sequence[str] = CARDS) -> None:
    await node.crash()
    node.gpus = gpus
    await node.start()


async def given(node: HollowNode, name: str) -> list[str]:
    """The cards that the running container of that name was created with."""
    (running,) = await node.running(name)
    requests = node.runtime.create_body(running.id)["HostConfig"].get("DeviceRequests") or []
    return [gpu for request in requests for gpu in request["DeviceIDs"]]


async def test_each_container_has_cards_of_its_own_and_its_status_names_them(node: HollowNode) -> None:
    await restart(node)
    await node.create(containers=[container("one", 2), container("two"), container("none", 0)])

    assert (await given(node, "one"), await given(node, "two")) == (["GPU-a", "GPU-b"], ["GPU-c"])
    assert await given(node, "none") == []
    statuses = {item["name"]: item for item in (await node.status())["containerStatuses"]}
    assert statuses["two"]["allocatedResourcesStatus"] == [
        {"name": "nvidia.com/gpu", "resources": [{"resourceID": "GPU-c", "health": "Healthy"}]}
    ]
    assert "allocatedResourcesStatus" not in statuses["none"]


async def test_a_container_keeps_its_cards_when_it_is_restarted(node: HollowNode) -> None:
    await restart(node)
    await node.create("first", containers=[container("one")])
    await node.create("second", containers=[container("two")])
    (one,) = await node.running("one")
    node.runtime.exit_container(one.id, exit_code=1)
    await node.settle(2)

    (again,) = await node.running("one")
    assert again.id != one.id
    assert (await given(node, "one"), await given(node, "two")) == (["GPU-a"], ["GPU-b"])


async def test_a_new_agent_knows_which_cards_are_taken(node: HollowNode) -> None:
    await restart(node)
    await node.create("first", containers=[container("one", 2)])
    await restart(node)
    await node.create("second", containers=[container("two")])

    assert await given(node, "two") == ["GPU-c"]


async def test_cards_of_a_pod_that_is_done_with_are_free(node: HollowNode) -> None:
    await restart(node)
    node.runtime.add_image("short:1", program=Program(runs_seconds=1))
    await node.create("done", containers=[container("one", 2, image="short:1")], restartPolicy="Never")
    await node.create("gone", containers=[container("two")])
    await node.settle(2)
    await node.delete("gone", grace=0)
    await node.settle(1)
    await node.create("next", containers=[container("three", 3)])

    assert await given(node, "three") == list(CARDS)


async def test_the_cards_of_init_containers_serve_the_others_afterwards(node: HollowNode) -> None:
    await restart(node)
    node.runtime.add_image("short:1", program=Program(runs_seconds=1))
    sidecar = container("side", restartPolicy="Always")
    await node.create(
        initContainers=[sidecar, container("init", 2, image="short:1")], containers=[container("main", 2)]
    )
    await node.settle(3)

    assert (await given(node, "side"), await given(node, "main")) == (["GPU-a"], ["GPU-b", "GPU-c"])


async def test_a_container_for_which_there_are_too_few_waits_and_says_so(node: HollowNode) -> None:
    await restart(node)
    await node.create("first", containers=[container("one", 2)])
    await node.create("second", containers=[container("two", 2)])

    state = (await node.status("second"))["containerStatuses"][0]["state"]["waiting"]
    assert state["reason"] == "CreateContainerConfigError"
    assert state["message"].endswith("devices unavailable for nvidia.com/gpu. Requested: 2, Available: 1")
    await node.delete("first", grace=0)
    await node.settle(8)
    assert await given(node, "two") == ["GPU-a", "GPU-b"]


async def test_a_node_without_cards_gives_none(node: HollowNode) -> None:
    await node.create(containers=[container("one")])

    assert await given(node, "one") == []


def test_the_cards_that_the_driver_shows(tmp_path: Path) -> None:
    for number, uuid in enumerate(CARDS):
        directory = tmp_path / f"0000:0{number}:00.0"
        directory.mkdir()
        (directory / "information").write_text(f"Model: \t\t X\nIRQ:   \t\t 31\nGPU UUID: \t {uuid}\n")

    assert read_gpus(tmp_path) == CARDS
    assert read_gpus(tmp_path / "none") == ()


@pytest.mark.parametrize(("resources", "count"), [({}, 0), ({"limits": {"nvidia.com/gpu": "2"}}, 2)])
def test_gpu_count(resources: dict[str, Any], count: int) -> None:
    assert gpu_count({"name": "c", "resources": resources}) == count


def test_docker_is_told_which_cards() -> None:
    assert device_requests(["GPU-a"]) == [{"Driver": "nvidia", "DeviceIDs": ["GPU-a"], "Capabilities": [["gpu"]]}]
