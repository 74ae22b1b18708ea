"""`WorkQueue`: keys to reconcile, with client-go's contract: fair (first in, first out), stingy (a key waits once and
is never handed out twice at a time), delayed, and rate-limited per key. Beyond it: keys of changes that may wait are
paced.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque

from control.api.clock import Clock
from control.client.pace import Pace

BACKOFF_SECONDS_FIRST = 0.005
BACKOFF_SECONDS_MAX = 1000.0


class WorkQueue:
    """`get` hands a key out, `done` gives it back; a key added in between is handed out again after `done`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue: deque[str] = deque()
        self._dirty: set[str] = set()
        self._processing: set[str] = set()
        self._failures: dict[str, int] = {}
        self._pace = Pace()
        self._delayed: list[tuple[float, int, str]] = []
        self._deadlines: dict[str, float] = {}
        self._sequence = 0
        self._timer: asyncio.Task[None] | None = None
        self._timer_deadline = 0.0
        #: one permit for each key in the queue
        self._available = asyncio.Semaphore(0)

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, key: str) -> None:
        """Ask for a key to be handed out, once however often it is asked."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._enqueue(key)

    def add_paced(self, key: str) -> None:
        """Add a key for a change that may wait: at once, but later when the key has had many turns of late."""
        if key not in self._dirty:
            self.add_after(key, self._pace.seconds_to_turn(key, self._clock.monotonic()))

    def add_after(self, key: str, seconds: float) -> None:
        """Add a key when that time has passed; of several waiting times the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        deadline = self._clock.monotonic() + seconds
        known = self._deadlines.get(key)
        if known is not None and known <= deadline:
            return
        self._deadlines[key] = deadline
        self._sequence += 1
        heapq.heappush(self._delayed, (deadline, self._sequence, key))
        self._set_timer()

    def add_rate_limited(self, key: str) -> float:
        """Add a key after its back-off: 5 ms, doubled with every call, at most 1000 s. Returns the seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        seconds = min(BACKOFF_SECONDS_FIRST * 2.0 ** min(failures, 64), BACKOFF_SECONDS_MAX)
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: str) -> None:
        """Start a key's back-off anew."""
        self._failures.pop(key, None)

    def failures(self, key: str) -> int:
        """How often a key was added rate-limited since it was forgotten."""
        return self._failures.get(key, 0)

    async def get(self) -> str:
        """Wait for a key; the caller owns it until `done`."""
        await self._available.acquire()
        key = self._queue.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        self._pace.note_turn(key, self._clock.monotonic())
        return key

    def done(self, key: str) -> None:
        """Give a key back; it is queued again if it was added meanwhile."""
        self._processing.discard(key)
        if key in self._dirty:
            self._enqueue(key)

    def _enqueue(self, key: str) -> None:
        self._queue.append(key)
        self._available.release()  # wakes one worker, not all

    def close(self) -> None:
        """Drop what waits for its time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._delayed.clear()
        self._deadlines.clear()

    def _set_timer(self) -> None:
        deadline = self._delayed[0][0]
        if self._timer is not None:
            if self._timer_deadline <= deadline:
                return
            self._timer.cancel()
        self._timer_deadline = deadline
        self._timer = asyncio.get_running_loop().create_task(self._release_at(deadline))

    async def _release_at(self, deadline: float) -> None:
        await self._clock.sleep(deadline - self._clock.monotonic())
        self._timer = None
        now = self._clock.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            due, _, key = heapq.heappop(self._delayed)
            if self._deadlines.get(key) == due:  # else an earlier deadline has overtaken this entry
                del self._deadlines[key]
                self.add(key)
        if self._delayed:
            self._set_timer()
