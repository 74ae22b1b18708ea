"""The event feed: every opening is followed by a re-list, and a broken stream is opened again."""

from __future__ import annotations

import asyncio
import itertools

from agent.runtime.events import EventFeed
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.protocol import EngineUnavailableError, RuntimeEvent
from control.api.clock import FakeClock

LABELS = {"io.podling.cluster": "c"}


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_feed_relists_at_every_opening_and_delivers_in_between() -> None:
    clock = FakeClock()
    runtime = FakeRuntime(clock)
    runtime.add_image("i")
    told: list[str] = []

    async def relist() -> None:
        told.append("relist")

    def on_event(event: RuntimeEvent) -> None:
        told.append(event.action)

    feed = EventFeed(open=lambda: runtime.events(LABELS), clock=clock, on_event=on_event, relist=relist)
    stop = asyncio.Event()
    running = asyncio.create_task(feed.run(stop))
    await settle()
    container_id = await runtime.create_container("a", {"Image": "i", "Labels": LABELS})
    await runtime.start_container(container_id)
    await settle()
    runtime.break_events()
    await settle()
    runtime.exit_container(container_id)
    await clock.advance(0.2)
    await settle()
    await runtime.remove_container(container_id)
    await settle()
    stop.set()
    await running

    assert told == ["relist", "start", "relist", "destroy"]


async def test_a_relist_that_fails_is_tried_again_later_and_later() -> None:
    clock = FakeClock()
    runtime = FakeRuntime(clock)
    attempts: list[float] = []

    async def relist() -> None:
        attempts.append(clock.monotonic())
        if len(attempts) < 4:
            raise EngineUnavailableError("down")

    feed = EventFeed(open=lambda: runtime.events({}), clock=clock, on_event=lambda event: None, relist=relist)
    stop = asyncio.Event()
    running = asyncio.create_task(feed.run(stop))
    for _ in range(20):
        await settle()
        await clock.advance(0.1)
    stop.set()
    await running

    gaps = [later - earlier for earlier, later in itertools.pairwise(attempts)]
    assert len(attempts) == 4
    assert gaps == sorted(gaps)
    assert gaps[0] >= 0.1
