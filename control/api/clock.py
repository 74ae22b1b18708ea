"""The injected clock. Nothing in the core reads time by itself; tests and the simulation use `FakeClock`."""

from __future__ import annotations

import asyncio
import heapq
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time for timestamps, monotonic seconds for durations, and sleeping."""

    def now(self) -> datetime:
        """Wall-clock time, timezone-aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of this clock."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Wall-clock time, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)


class SteadyClock:
    """The wall clock as it stood when this one was made, and what has passed since by the monotonic clock.

    For durations and deadlines between moments that are written as times; nobody else is shown them.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._anchor = clock.now() - timedelta(seconds=clock.monotonic())

    def now(self) -> datetime:
        """Steady time, UTC; the wall clock's until that jumps."""
        return self._anchor + timedelta(seconds=self._clock.monotonic())

    def step(self) -> timedelta:
        """How far the wall clock has jumped since, backwards if negative."""
        return self._clock.now() - self.now()

    def place(self, time: datetime) -> datetime:
        """A past moment of the wall clock as it is now, on this one: never later than now."""
        return min(time - self.step(), self.now())

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        await self._clock.sleep(seconds)


class FakeClock:
    """A clock that moves only when `advance` is called; sleepers wake in order of their deadline."""

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._elapsed = 0.0
        self._sequence = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Start time plus what was advanced."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has passed the deadline."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sequence += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._sequence, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move time forward, waking sleepers one by one and letting the loop run after each."""
        target = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            deadline, _, future = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, deadline)
            if not future.done():
                future.set_result(None)
            await asyncio.sleep(0)
        self._elapsed = target
        await asyncio.sleep(0)
