"""The engine refuses, hangs, loses its event stream or the answer to a call: the node waits and converges."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.runtime.protocol import EngineUnavailableError, RuntimeFailure
from tests.fakes.agent_node import HollowNode

CHANGING = ["create_container", "start_container", "kill_container", "remove_container"]
READING = ["inspect_container", "list_containers", "find_image"]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[HollowNode]:
    """A node whose Pod `steady` runs."""
    hollow = HollowNode(tmp_path)
    await hollow.start()
    await hollow.create("steady")
    yield hollow
    await hollow.crash()


async def steady_ids(node: HollowNode) -> set[str]:
    return {record.id for record in await node.containers() if "_steady_" in record.name}


async def check_web_runs_once(node: HollowNode) -> None:
    assert (await node.status())["phase"] == "Running"
    assert len([item for item in await node.running("web") if "_web_default_" in item.name]) == 1
    assert len([item for item in await node.running("POD") if "_web_default_" in item.name]) == 1


@pytest.mark.parametrize("after", [False, True], ids=["refused", "failed but happened"])
@pytest.mark.parametrize("verb", [*CHANGING, *READING])
async def test_refusals_are_outlasted(node: HollowNode, verb: str, after: bool) -> None:
    before = await steady_ids(node)
    node.runtime.inject_error(verb, RuntimeFailure("Internal Server Error"), times=3, after=after)
    node.runtime.break_events()
    await node.create("web")
    await node.settle(25)
    await check_web_runs_once(node)
    node.runtime.inject_error(verb, RuntimeFailure("Internal Server Error"), times=3, after=after)
    node.runtime.break_events()
    await node.delete("web", grace=1)
    await node.settle(70)
    assert await node.find("web") is None
    assert await steady_ids(node) == before
    assert {record.id for record in await node.containers()} == before


async def test_lost_answers_of_every_call_are_made_good(node: HollowNode) -> None:
    before = await steady_ids(node)
    for verb in (*CHANGING, *READING):
        node.runtime.inject_error(verb, EngineUnavailableError("timed out"), times=5, after=True)
    await node.create("web")
    await node.settle(40)
    await check_web_runs_once(node)
    assert await steady_ids(node) == before
