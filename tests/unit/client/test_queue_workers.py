"""The loop of every controller: a failure concerns its own key, and nobody else waits for work that never waits."""

from __future__ import annotations

import asyncio

from control.api.clock import FakeClock
from control.client.queue_workers import QueueWorkers
from control.client.work_queue import WorkQueue


class TickingClock(FakeClock):
    """On which every look takes a millisecond."""

    def monotonic(self) -> float:
        self._elapsed += 0.001
        return self._elapsed


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_key_that_fails_comes_back_alone_after_its_backoff() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    done: list[str] = []
    told: list[tuple[str, str]] = []

    async def work(key: str) -> None:
        done.append(key)
        if key == "bad" and done.count("bad") < 2:
            raise ValueError("not yet")

    workers = QueueWorkers(queue, clock, work=work, note_failure=lambda key, error: told.append((key, str(error))))
    queue.add("bad")
    queue.add("good")
    running = asyncio.ensure_future(workers.run(1))
    await settle()
    assert done == ["bad", "good"]
    await clock.advance(0.005)
    await settle()
    assert done == ["bad", "good", "bad"]
    assert told == [("bad", "not yet")]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_work_that_waits_for_nothing_lets_others_have_their_turn() -> None:
    clock = TickingClock()
    queue = WorkQueue(clock)
    steps = 0

    async def work(key: str) -> None:
        nonlocal steps
        steps += 1
        if steps < 1000:
            queue.add(key)

    workers = QueueWorkers(queue, clock, work=work, note_failure=lambda key, error: None)
    queue.add("busy")
    running = asyncio.ensure_future(workers.run(1))
    for _ in range(3):
        await asyncio.sleep(0)
    assert 1 < steps < 30
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
