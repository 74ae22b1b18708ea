"""Workers over a queue of keys: the loop of every controller.

A key is worked on by one worker at a time. One that fails comes back after its back-off, alone; when to begin the
back-off anew is for the work to say (`WorkQueue.forget`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from control.api.clock import Clock
from control.client.informer import STEP_SECONDS_MAX
from control.client.work_queue import WorkQueue


class QueueWorkers:
    """Owns the queue's being handed out. `note_failure` is told of a key's failure before it waits for its next try."""

    def __init__(
        self,
        queue: WorkQueue,
        clock: Clock,
        *,
        work: Callable[[str], Awaitable[None]],
        note_failure: Callable[[str, Exception], None],
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._work = work
        self._note_failure = note_failure
        self._deadline = 0.0

    async def run(self, count: int) -> None:
        """Work with so many workers until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(self._run_worker())
        finally:
            self._queue.close()

    async def step(self) -> None:
        """Take one key, waiting for one if need be, and work on it."""
        key = await self._queue.get()
        try:
            await self._work(key)
        except Exception as error:
            self._note_failure(key, error)
            self._queue.add_rate_limited(key)
        finally:
            self._queue.done(key)

    async def _run_worker(self) -> None:
        while True:
            await self.step()
            # Work that finds all it needs in caches waits for nothing: others of the event loop get their turn here.
            if self._clock.monotonic() >= self._deadline:
                await asyncio.sleep(0)
                self._deadline = self._clock.monotonic() + STEP_SECONDS_MAX
