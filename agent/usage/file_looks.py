"""What Pods keep on disks, counted when somebody asks, and not again at once: counting walks through directories."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from agent.node.eviction.pod_usage import PodUse
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject

FRESH_SECONDS = 10.0

MeasureFiles = Callable[[Sequence[ReadOnlyObject]], Awaitable[Mapping[str, PodUse]]]


class FileLooks:
    """Counts by UID. Whoever asks while it is counted waits for the same count."""

    def __init__(self, measure: MeasureFiles, clock: Clock) -> None:
        self._measure = measure
        self._clock = clock
        self._counting = asyncio.Lock()
        self._looks: dict[str, tuple[float, PodUse]] = {}

    async def look(self, pods: Sequence[ReadOnlyObject]) -> Mapping[str, PodUse]:
        """What these Pods have, at most some seconds ago."""
        async with self._counting:
            oldest = self._clock.monotonic() - FRESH_SECONDS
            self._looks = {uid: (at, use) for uid, (at, use) in self._looks.items() if at > oldest}
            missing = [pod for pod in pods if pod["metadata"]["uid"] not in self._looks]
            for uid, use in (await self._measure(missing)).items():
                self._looks[uid] = self._clock.monotonic(), use
            return {uid: use for uid, (_, use) in self._looks.items()}
