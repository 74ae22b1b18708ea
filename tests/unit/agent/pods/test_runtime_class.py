"""A Pod's RuntimeClass chooses the engine's runtime, for pause and containers alike; one that is not there is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.fakes.agent_node import HollowNode


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[HollowNode]:
    hollow = HollowNode(tmp_path)
    await hollow.start()
    hollow.objects.runtime_classes = {
        name: {"metadata": {"name": name}, "handler": name} for name in ("runc", "kata", "missing")
    }
    yield hollow
    await hollow.crash()


async def runtimes(node: HollowNode) -> set[str]:
    records = await node.runtime.list_containers({})
    return {node.runtime.create_body(record.id)["HostConfig"].get("Runtime", "") for record in records}


async def test_pause_and_containers_get_the_runtime_of_the_class(node: HollowNode) -> None:
    await node.create(runtimeClassName="kata")
    assert (await node.status())["phase"] == "Running"
    assert await runtimes(node) == {"kata"}


async def test_runc_is_known_by_that_name_everywhere(node: HollowNode) -> None:
    await node.create(runtimeClassName="runc")
    assert (await node.status())["phase"] == "Running"


async def test_a_handler_that_the_engine_lacks_starts_nothing_and_says_so(node: HollowNode) -> None:
    await node.create(runtimeClassName="missing")
    assert (await node.status())["phase"] == "Pending"
    assert 'no runtime for "missing" is configured' in node.event_messages("FailedCreatePodSandBox")[0]
    assert await runtimes(node) == set()


async def test_a_class_that_is_gone_is_waited_for(node: HollowNode) -> None:
    await node.create(runtimeClassName="later")
    assert 'runtimeclass.node.k8s.io "later" not found' in node.event_messages("FailedCreatePodSandBox")[0]
    node.objects.runtime_classes["later"] = {"metadata": {"name": "later"}, "handler": "runc"}
    await node.settle(15)
    assert (await node.status())["phase"] == "Running"
