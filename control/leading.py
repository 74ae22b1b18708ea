"""How a part of the control plane that runs as a process of its own works: only while it leads, if told to elect.

A leader that loses its Lease ends its work and competes again; the work is begun from nothing each time, so that
nothing read under an earlier leadership is believed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from control.api.clock import Clock
from control.client.client import Client
from control.client.events import EventRecorder
from control.client.fence import Fence
from control.client.leader_election import ElectionTimings, LeaderElector, Work
from control.client.running import run_until

logger = logging.getLogger(__name__)

RESTART_SECONDS = 1.0
LAST_EVENTS_SECONDS_MAX = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Election:
    """Whether and over which Lease processes of one kind agree on who works.

    `identity` is for a process that is the only one of its name: it takes over from its predecessor at once.
    """

    name: str
    enabled: bool = True
    identity: str = ""
    namespace: str = "kube-system"
    timings: ElectionTimings = field(default_factory=ElectionTimings)


async def work_as_leader(
    work: Work, *, client: Client, election: Election, fence: Fence, clock: Clock, random: Random, stop: asyncio.Event
) -> None:
    """Run `work(lost)` whenever this process leads, until stopped. Work that fails is begun anew.

    `fence` is what the work's own writes pass; `client`, which holds the Lease, passes none.
    """
    if not election.enabled:
        await _repeat(lambda: work(stop), clock, stop)
        return
    recorder = EventRecorder(client, component=election.name, clock=clock, host=socket.gethostname())
    elector = LeaderElector(
        client,
        name=election.name,
        namespace=election.namespace,
        identity=election.identity or f"{socket.gethostname()}_{uuid.uuid4()}",
        clock=clock,
        random=random,
        timings=election.timings,
        recorder=recorder,
    )
    fence.may_write = elector.may_act
    async with asyncio.TaskGroup() as group:
        group.create_task(recorder.run(stop))
        await _repeat(lambda: elector.run(stop, work), clock, stop)
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_EVENTS_SECONDS_MAX):
            await recorder.step()


async def _repeat(attempt: Callable[[], Awaitable[None]], clock: Clock, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await attempt()
        except Exception:
            logger.exception("Work failed")
            await run_until(stop, clock.sleep(RESTART_SECONDS))
