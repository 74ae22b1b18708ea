"""The wall clock jumps, forth and back: nothing is evicted, restarted or delayed, for durations are monotonic."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.node.heartbeat import Heartbeat
from control.api.builtin_kinds import LEASES, NODES
from control.api.clock import FakeClock
from control.api.exchange import User
from control.client.client import Client
from control.client.local_transport import LocalTransport
from control.controllers.node_lifecycle.health import is_silent, note_heartbeat
from tests.fakes.agent_node import HollowNode
from tests.fakes.memory_endpoint import MemoryEndpoint

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
