"""The work queue's contract: fair, stingy, delayed, rate-limited per key."""

from __future__ import annotations

import asyncio

import pytest

from control.api.clock import FakeClock
from control.client.pace import SECONDS_PER_TURN, TURNS_AT_ONCE
from control.client.work_queue import WorkQueue


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def take(queue: WorkQueue) -> str:
    return await asyncio.wait_for(queue.get(), 5)


async def test_keys_come_in_order_and_once() -> None:
    queue = WorkQueue(FakeClock())
    for key in ("b", "a", "b", "a"):
        queue.add(key)
    assert [await take(queue), await take(queue)] == ["b", "a"]
    assert len(queue) == 0


async def test_key_added_while_processed_waits_for_done() -> None:
    queue = WorkQueue(FakeClock())
    queue.add("a")
    assert await take(queue) == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await take(queue) == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_waiting_worker_is_woken() -> None:
    queue = WorkQueue(FakeClock())
    worker = asyncio.create_task(queue.get())
    await settle()
    queue.add("a")
    assert await asyncio.wait_for(worker, 60) == "a"


async def test_key_of_a_worker_that_is_cancelled_as_it_wakes_goes_to_another() -> None:
    queue = WorkQueue(FakeClock())
    cancelled, other = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await settle()
    queue.add("a")
    cancelled.cancel()
    assert await asyncio.wait_for(other, 60) == "a"
    assert cancelled.cancelled()


async def test_delayed_keys_come_at_their_earliest_time() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    queue.add_after("late", 10)
    queue.add_after("soon", 1)
    queue.add_after("late", 5)
    queue.add_after("late", 7)
    await settle()
    await clock.advance(1)
    await settle()
    assert (len(queue), await take(queue)) == (1, "soon")
    await clock.advance(3.9)
    await settle()
    assert len(queue) == 0
    await clock.advance(0.1)
    await settle()
    assert await take(queue) == "late"
    queue.done("late")
    await clock.advance(10)
    await settle()
    assert len(queue) == 0


async def test_paced_key_comes_at_once_until_it_has_had_many_turns() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    for _ in range(TURNS_AT_ONCE):
        queue.add_paced("crowded")
        assert await take(queue) == "crowded"
        queue.done("crowded")
    queue.add_paced("crowded")
    queue.add_paced("crowded")
    queue.add_paced("quiet")
    assert (len(queue), await take(queue)) == (1, "quiet")
    await settle()
    await clock.advance(SECONDS_PER_TURN)
    await settle()
    assert (len(queue), await take(queue)) == (1, "crowded")


async def test_paced_key_that_is_added_for_good_reason_comes_at_once() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    for _ in range(3 * TURNS_AT_ONCE):
        queue.add("a")
        assert await take(queue) == "a"
        queue.done("a")
    queue.add_paced("a")
    assert len(queue) == 0
    queue.add("a")
    assert await take(queue) == "a"


async def test_backoff_doubles_to_its_limit_and_is_forgotten() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    waits = []
    for _ in range(22):
        waits.append(queue.add_rate_limited("a"))
        await settle()
        await clock.advance(1000)
        await settle()
        assert await take(queue) == "a"
        queue.done("a")
    assert waits[:4] == pytest.approx([0.005, 0.01, 0.02, 0.04])
    assert waits[-1] == 1000
    assert queue.failures("a") == 22
    queue.forget("a")
    assert queue.add_rate_limited("a") == pytest.approx(0.005)
    assert queue.failures("b") == 0
