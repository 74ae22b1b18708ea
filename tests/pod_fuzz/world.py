"""What befalls a node: containers end, agent and engine fail, answers are lost, room is short, the node shuts down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

from agent.node.shutdown import NodeShutdown, ShutdownPeriods
from agent.pods.rejection import Rejection
from agent.pods.resize import PendingResize
from agent.runtime.protocol import ContainerRecord, RuntimeFailure
from control.api.pods import is_static_pod
from tests.pod_fuzz.life_promises import LifePromises
from tests.pod_fuzz.node import FuzzConnection, FuzzNode

#: After the last fault an agent may still wait out a retry, a relist or a hung call.
RECOVERY_SECONDS = 75.0


class World:
    """A hostile one. `is_disturbed` says that something is wrong, or was a moment ago."""

    def __init__(self, node: FuzzNode, life: LifePromises, random: Random) -> None:
        self._node = node
        self._life = life
        self._random = random
        self._disturbed_until = 0.0

    def acts(self) -> list[Callable[[], Awaitable[None]]]:
        """All that may happen, the more often the more often it is named."""
        acts = [self._exit_container, self._exit_container, self._exit_sandbox, self._remove_container]
        acts += [self._restart_agent, self._restart_agent, self._break_events, self._lose_events, self._double_events]
        acts += [self._no_room, self._remove_dead_containers, self._restart_engine, self._shut_down]
        return [*acts, self._engine_errors, self._engine_hangs, self._api_down, self._evict, self._volumes_fail]

    def is_disturbed(self) -> bool:
        """Whether promises about times and order may be broken."""
        return self._node.loop.seconds < self._disturbed_until

    def _disturb(self, seconds: float = 0.0) -> None:
        self._disturbed_until = max(self._disturbed_until, self._node.loop.seconds + seconds + RECOVERY_SECONDS)

    def calm(self) -> None:
        """Nothing is wrong any more."""
        node = self._node
        node.faults.error_rate, node.faults.is_down, node.api.is_down = 0.0, False, False
        node.faults.resume()
        FuzzConnection.loses_events = FuzzConnection.doubles_events = False
        node.volumes.failure, node.pending_resize = "", None

    def _any_record(self, *, sandbox: bool) -> ContainerRecord | None:
        running = [one for one in self._node.engine.running() if ("_POD_" in one.name) == sandbox]
        return self._random.choice(running) if running else None

    async def _exit_container(self) -> None:
        record = self._any_record(sandbox=False)
        if record is not None:
            code = self._random.choice((0, 1, 42, 137))
            oom_killed = code == 137 and self._random.random() < 0.5
            self._node.engine.exit_container(record.id, exit_code=code, oom_killed=oom_killed)

    async def _exit_sandbox(self) -> None:
        record = self._any_record(sandbox=True)
        if record is not None:
            self._node.engine.exit_container(record.id, exit_code=137)

    async def _remove_container(self) -> None:
        """Somebody's `docker rm --force`."""
        records = self._node.engine.records()
        if records:
            self._life.is_outside = True
            await self._node.engine.remove_container(self._random.choice(records).id)
            self._life.is_outside = False

    async def _restart_agent(self) -> None:
        self._disturb(2.0)
        self._node.kill()
        for life in self._life.lives.values():
            # A node that is under pressure no more lets a Pod live that its former agent had begun to evict.
            # Nobody tells it how a static Pod stood.
            life.is_spared = life.evicted and life.ended_at is None
        await asyncio.sleep(self._random.random() * 2)
        self._node.boot()

    async def _restart_engine(self) -> None:
        """Its containers end with it."""
        faults, engine = self._node.faults, self._node.engine
        seconds = self._random.random() * 3
        self._disturb(seconds)
        faults.is_down = True
        engine.kill_all()
        engine.break_events()
        await asyncio.sleep(seconds)
        faults.is_down = False

    async def _shut_down(self) -> None:
        """The node ends its Pods in order, and comes back."""
        node = self._node
        if not hasattr(node, "workers"):
            return
        for pod in node.workers.evictable_pods():
            self._life.lives[pod["metadata"]["uid"]].evicted = True
        shutdown = NodeShutdown(
            pods=node.workers.evictable_pods,
            fail=node.workers.fail,
            is_released=node.workers.is_released,
            announce=lambda: None,
            clock=node.clock,
        )
        ended = await shutdown.run(ShutdownPeriods(total_seconds=10.0, critical_seconds=3.0))
        sending = [asyncio.ensure_future(node.reporter.flush(uid)) for uid in ended]
        if sending:
            await asyncio.wait(sending, timeout=5)
        await self._restart_agent()

    async def _break_events(self) -> None:
        self._disturb()
        self._node.engine.break_events()

    async def _lose_events(self) -> None:
        """For a while; the safety net is the periodic list."""
        await self._for_a_while(lambda on: setattr(FuzzConnection, "loses_events", on))

    async def _double_events(self) -> None:
        await self._for_a_while(lambda on: setattr(FuzzConnection, "doubles_events", on))

    async def _engine_errors(self) -> None:
        await self._for_a_while(lambda on: setattr(self._node.faults, "error_rate", 0.2 if on else 0.0))

    async def _engine_hangs(self) -> None:
        faults = self._node.faults
        await self._for_a_while(lambda on: faults.hang(self._node.loop) if on else faults.resume())

    async def _api_down(self) -> None:
        def switch(on: bool) -> None:
            self._node.api.is_down = on
            self._node.api.break_watches()

        await self._for_a_while(switch)

    async def _volumes_fail(self) -> None:
        await self._for_a_while(lambda on: setattr(self._node.volumes, "failure", "no volume" if on else ""))

    async def _no_room(self) -> None:
        """Resizes wait."""
        pending = PendingResize(reason="Deferred", message="Node didn't have enough resource: cpu")
        await self._for_a_while(lambda on: setattr(self._node, "pending_resize", pending if on else None))

    async def _remove_dead_containers(self) -> None:
        """What a node does that is short of disk."""
        if hasattr(self._node, "workers"):
            with suppress(RuntimeFailure, TimeoutError):
                await asyncio.wait_for(self._node.workers.remove_dead_containers(), timeout=5)

    async def _for_a_while(self, switch: Callable[[bool], Any]) -> None:
        seconds = self._random.choice((0.1, 1.0, 10.0)) * self._random.random()
        self._disturb(seconds)
        switch(True)
        self._node.loop.call_later(seconds, switch, False)

    async def _evict(self) -> None:
        if not hasattr(self._node, "workers"):
            return
        uids = [pod["metadata"]["uid"] for pod in self._node.workers.evictable_pods() if not is_static_pod(pod)]
        if not uids:
            return
        uid = self._random.choice(uids)
        self._life.lives[uid].evicted = True
        removes = self._random.random() < 0.5
        grace = self._random.choice((None, 1.0))
        self._node.workers.fail(
            uid,
            Rejection(
                reason="Evicted",
                message="The node was low on resource: memory.",
                grace_seconds=grace,
                disruption="The node was low on resource: memory.",
                removes_containers=removes,
            ),
        )
