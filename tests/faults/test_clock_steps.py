"""The wall clock jumps, forth and back: nothing is evicted, restarted or delayed, for durations are monotonic."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from agent.node.heartbeat import Heartbeat
from agent.pods.probe_attempt import ProbeResult
from agent.runtime.fake_container import Program
from agent.volumes.token_cache import TokenCache
from control.api.builtin_kinds import LEASES, NODES
from control.api.clock import FakeClock
from control.api.exchange import User
from control.client.client import Client
from control.client.local_transport import LocalTransport
from control.controllers.node_lifecycle.health import is_silent, note_heartbeat
from tests.fakes.agent_node import HollowNode
from tests.fakes.memory_endpoint import MemoryEndpoint
from tests.fakes.objects import FakeObjects, make_pod

STEPS = [timedelta(days=400), timedelta(days=-400), timedelta(seconds=-61), timedelta(hours=1)]


class SteppingClock(FakeClock):
    """A fake clock whose wall time can be set apart from the time that passes."""

    def __init__(self) -> None:
        super().__init__()
        self.step = timedelta()

    def now(self) -> datetime:
        return super().now() + self.step


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_jump_restarts_no_container_and_delays_no_restart(tmp_path: Path, step: timedelta) -> None:
    clock = SteppingClock()
    node = HollowNode(tmp_path, clock=clock)
    await node.start()
    try:
        await node.create()
        [before] = await node.running("web")
        clock.step = step
        await node.settle(5)
        assert await node.running("web") == [before]
        node.runtime.exit_container(before.id, exit_code=1)
        await node.settle(1)
        [first] = await node.running("web")
        assert first.name.endswith("_1")
        clock.step = -step
        node.runtime.exit_container(first.id, exit_code=1)
        await node.settle(11)
        [second] = await node.running("web")
        assert second.name.endswith("_2"), "the back-off of 10 s is over"
    finally:
        await node.crash()


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[HollowNode]:
    hollow = HollowNode(tmp_path, clock=SteppingClock())
    await hollow.start()
    yield hollow
    await hollow.crash()


def step_clock(node: HollowNode, step: timedelta) -> None:
    assert isinstance(node.clock, SteppingClock)
    node.clock.step += step


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("starts", [True, False], ids=["it ran", "its command cannot be run"])
async def test_a_jump_during_a_back_off_neither_shortens_nor_prolongs_it(
    node: HollowNode, step: timedelta, starts: bool
) -> None:
    node.runtime.programs["web:1"] = Program(
        runs_seconds=0.5, exit_code=1, start_error="" if starts else "no such file"
    )
    await node.create()
    await node.settle(2)
    assert {item.name[-2:] for item in await node.containers() if "_web_web_" in item.name} == {"_0", "_1"}
    step_clock(node, step)
    await node.settle(5)
    assert await newest_attempt(node) == 1, "the back-off of 10 s is not over"
    await node.settle(6)
    assert await newest_attempt(node) == 2


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_jump_while_the_agent_is_down_costs_one_back_off_at_most(node: HollowNode, step: timedelta) -> None:
    node.runtime.programs["web:1"] = Program(runs_seconds=0.5, exit_code=1)
    await node.create()
    await node.settle(2)
    await node.crash()
    step_clock(node, step)
    await node.start()
    await node.settle(11)
    assert await newest_attempt(node) == 2


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_jump_while_a_pod_stops_neither_shortens_nor_prolongs_its_grace_period(
    node: HollowNode, step: timedelta
) -> None:
    node.runtime.programs["web:1"] = Program(ignores_sigterm=True)
    await node.create()
    await node.settle(1)
    await node.delete(grace=20)
    step_clock(node, step)
    await node.settle(17)
    assert await node.running("web")
    await node.settle(5)
    assert not await node.running("web")
    assert await node.find() is None


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_jump_neither_ends_a_pod_early_nor_late(node: HollowNode, step: timedelta) -> None:
    await node.create(activeDeadlineSeconds=20)
    step_clock(node, step)
    await node.settle(17)
    assert (await node.status())["phase"] == "Running"
    await node.settle(5)
    assert (await node.status())["reason"] == "DeadlineExceeded"


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_jump_delays_no_probe(node: HollowNode, step: timedelta) -> None:
    step_clock(node, step)
    probe = {"tcpSocket": {"port": 1}, "periodSeconds": 2, "initialDelaySeconds": 3, "failureThreshold": 1}
    node.probes.answers["web"] = ProbeResult(passed=False, output="refused")
    await node.create(containers=[{"name": "web", "image": "web:1", "livenessProbe": probe}], restartPolicy="Always")
    step_clock(node, -step)
    await node.settle(8)
    assert await newest_attempt(node) == 2, "killed after 3 and after 6 seconds, each time started again at once"


async def newest_attempt(node: HollowNode) -> int:
    return max(int(item.name.rpartition("_")[2]) for item in await node.containers() if "_web_web_" in item.name)


async def test_a_token_that_a_jump_makes_look_old_is_renewed() -> None:
    clock = SteppingClock()
    objects = FakeObjects()
    tokens = TokenCache(objects=objects, clock=clock)

    async def ask() -> str:
        return await tokens.get_token(make_pod(), audiences=(), expiration_seconds=3600)

    first = await ask()
    clock.step = timedelta(days=-400)
    assert await ask() == first
    clock.step = timedelta(hours=1)
    assert await ask() != first


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_jump_makes_no_node_look_dead(step: timedelta) -> None:
    clock = SteppingClock()
    client = Client(LocalTransport(MemoryEndpoint(now=clock.now), User(name="system:node:n")))
    node = await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}
    node = {**node, "status": {"conditions": [ready]}}
    agent = Heartbeat(client, clock, node_name="n", interval_seconds=2.0, node_uid=lambda: "uid")
    known = None
    for second in range(0, 60, 2):
        if second == 20:
            clock.step = step
        await agent.step()
        lease = await client.get(LEASES, "n", namespace="kube-node-lease")
        known = note_heartbeat(known, node, lease, clock.monotonic())
        assert not is_silent(known, node, clock.monotonic(), 6.0)
        await clock.advance(2.0)
    await clock.advance(7.0)
    assert is_silent(known, node, clock.monotonic(), 6.0)
