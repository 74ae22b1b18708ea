"""What the writers of Events have in common: a bounded queue that drops rather than blocks, and names as upstream's."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime

from control.api.objects import Object, ReadOnlyObject
from control.client.running import run_until

logger = logging.getLogger(__name__)


class EventQueue:
    """Events that wait to be written."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._waiting: deque[Object] = deque()
        self._arrived = asyncio.Event()

    def put(self, event: Object) -> None:
        """Add one; when too many wait it is dropped."""
        if len(self._waiting) >= self._size_max:
            logger.debug("Dropped an event reason=%s", event["reason"])
            return
        self._waiting.append(event)
        self._arrived.set()

    def take(self, count_max: int) -> list[Object]:
        """Take the oldest ones out; empty when none waits."""
        taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), count_max))]
        if not self._waiting:
            self._arrived.clear()
        return taken

    async def run(self, stop: asyncio.Event, write_all: Callable[[], Awaitable[None]]) -> None:
        """Have everything written whenever something waits, until stopped."""

        async def loop() -> None:
            while True:
                await self._arrived.wait()
                await write_all()

        await run_until(stop, loop())


class EventNames:
    """Names of Events: that of the object and nanoseconds since 1970, as upstream's, but never the same twice."""

    def __init__(self) -> None:
        self._last_number = 0

    def make_metadata(self, regarding: ReadOnlyObject, now: datetime) -> Object:
        """Name and namespace of a new Event."""
        involved = regarding["metadata"]
        self._last_number = max(int(now.timestamp() * 1_000_000) * 1000, self._last_number + 1)
        return {
            "name": f"{involved['name']}.{self._last_number:x}",
            "namespace": involved.get("namespace") or "default",
        }
