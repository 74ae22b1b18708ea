"""The engine refuses, hangs, loses its event stream or the answer to a call: the node waits and converges."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.runtime.protocol import EngineUnavailableError, RuntimeFailure
from control.api.builtin_kinds import PODS
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


@pytest.mark.parametrize("restart_policy", ["Always", "Never"])
@pytest.mark.parametrize("ends", [False, True], ids=["it runs on", "it ends meanwhile"])
async def test_a_container_whose_start_was_not_seen_is_not_started_again(
    node: HollowNode, monkeypatch: pytest.MonkeyPatch, restart_policy: str, ends: bool
) -> None:
    start = node.runtime.start_container
    started: list[str] = []

    async def start_unseen(container_id: str) -> None:
        await start(container_id)
        record = next(one for one in await node.containers() if one.id == container_id)
        if "_web_default_" in record.name and not record.name.startswith("k8s_POD_"):
            started.append(record.name)
            if len(started) == 1:
                node.runtime.inject_error("inspect_container", EngineUnavailableError("reset"), times=1)

    monkeypatch.setattr(node.runtime, "start_container", start_unseen)
    await node.create("web", restartPolicy=restart_policy)
    [running] = [item for item in await node.running("web") if "_web_default_" in item.name]
    if ends:
        node.runtime.exit_container(running.id, exit_code=1)
    await node.settle(25)
    runs_again = ends and restart_policy == "Always"
    assert len(started) == len(set(started)) == (2 if runs_again else 1)
    status = await node.status()
    assert status["containerStatuses"][0]["restartCount"] == (1 if runs_again else 0)
    assert status["phase"] == ("Failed" if ends and not runs_again else "Running")


@pytest.mark.parametrize("seen", [False, True], ids=["its sandbox was not seen", "its start was not seen"])
async def test_a_deleted_pod_goes_after_the_containers_whose_start_was_not_seen(
    node: HollowNode, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    start = node.runtime.start_container

    async def start_unseen(container_id: str) -> None:
        await start(container_id)
        record = next(one for one in await node.containers() if one.id == container_id)
        if "_web_default_" in record.name and record.name.startswith("k8s_POD_") is not seen:
            node.runtime.inject_error("inspect_container", EngineUnavailableError("reset"), times=2)

    monkeypatch.setattr(node.runtime, "start_container", start_unseen)
    await node.create("web")
    deleted = await node.client.delete(PODS, "web", namespace="default", grace_period_seconds=1)
    assert deleted
    while await node.find("web") is not None:
        await node.settle(0.25)
    assert not [item for item in await node.running("web") if "_web_default_" in item.name]
    assert not [item for item in await node.running("POD") if "_web_default_" in item.name]
