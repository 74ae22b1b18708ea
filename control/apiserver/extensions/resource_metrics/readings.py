"""The newest two readings of each node: taken when somebody asks, kept for those who ask soon after.

Nothing is read at an interval, so that a cluster of whose usage nobody asks does nothing for it. Processor time needs
two points: whoever asks first, or after a while, waits for a second reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from control.api.clock import Clock
from control.api.objects import ReadOnlyObject
from control.apiserver.extensions.resource_metrics.samples import Reading

#: How long a reading answers for the present.
FRESH_SECONDS = 5.0
#: How old the older of two readings may be.
WINDOW_SECONDS_MAX = 60.0
#: How long the second of two readings is waited for.
SECOND_READING_SECONDS = 1.0


@dataclass(slots=True)
class _Known:
    """What is kept of one node. `taken_at` is the clock's monotonic time of the newer reading."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    older: Reading | None = None
    newer: Reading | None = None
    taken_at: float = 0.0


class NodeReadings:
    """Reads nodes. `fetch` asks one node and returns None if it does not answer."""

    def __init__(self, fetch: Callable[[ReadOnlyObject], Awaitable[Reading | None]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def read(self, node: ReadOnlyObject) -> tuple[Reading, Reading] | None:
        """An older and a newer reading; None if the node does not answer. Several who ask wait for the same ones."""
        known = self._known.setdefault(node["metadata"]["uid"], _Known())
        async with known.lock:
            age = self._clock.monotonic() - known.taken_at
            is_fresh = known.older is not None and age <= FRESH_SECONDS
            reuses = known.newer is not None and age <= WINDOW_SECONDS_MAX
            if not is_fresh and not await self._take(node, known, reuses=reuses):
                known.older = known.newer = None
            return (known.older, known.newer) if known.older and known.newer else None

    async def _take(self, node: ReadOnlyObject, known: _Known, *, reuses: bool) -> bool:
        """Take one reading if the last one may be the older of the two, otherwise two."""
        if not reuses:
            known.newer = await self._fetch(node)
            if known.newer is None:
                return False
            await self._clock.sleep(SECOND_READING_SECONDS)
        known.older, known.newer = known.newer, await self._fetch(node)
        known.taken_at = self._clock.monotonic()
        return known.newer is not None

    def forget_all_but(self, uids: frozenset[str]) -> None:
        """Drop what is kept of nodes that are gone."""
        for uid in self._known.keys() - uids:
            del self._known[uid]
