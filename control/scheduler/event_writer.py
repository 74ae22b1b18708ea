"""The scheduler's Events: in upstream's newer form, with an action and microseconds, repeats as a series.

Writing is a courtesy: it never blocks scheduling and its failures are only logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from dataclasses import dataclass

from control.api.builtin_kinds import EVENTS
from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_micro_time
from control.client.client import Client
from control.client.events import reference_to
from control.client.running import run_until
from control.client.transport import ServerUnavailableError

logger = logging.getLogger(__name__)

WAITING_MAX = 10_000
REMEMBERED_MAX = 4096
WRITES_IN_FLIGHT_MAX = 16
#: an equal event within this time is one more of the series
SERIES_SECONDS = 360.0


@dataclass(slots=True)
class _Series:
    name: str
    namespace: str
    count: int
    last_seconds: float


class EventWriter:
    """Queues Events and writes them in the background."""

    def __init__(self, client: Client, *, component: str, instance: str, clock: Clock) -> None:
        self._client = client
        self._component = component
        self._instance = instance
        self._clock = clock
        self._waiting: deque[Object] = deque()
        self._arrived = asyncio.Event()
        self._series: OrderedDict[tuple[str, ...], _Series] = OrderedDict()
        self._last_number = 0

    def record(
        self,
        regarding: ReadOnlyObject,
        type: str,
        reason: str,
        action: str,
        message: str,
        *,
        related: ReadOnlyObject | None = None,
    ) -> None:
        """Queue one Event; when too many wait it is dropped."""
        if len(self._waiting) >= WAITING_MAX:
            logger.debug("Dropped an event reason=%s", reason)
            return
        now = self._clock.now()
        metadata = regarding["metadata"]
        self._last_number = max(int(now.timestamp() * 1_000_000) * 1000, self._last_number + 1)
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{self._last_number:x}",
                "namespace": metadata.get("namespace") or "default",
            },
            "involvedObject": reference_to(regarding),
            "reason": reason,
            "message": message,
            "source": {},
            "type": type,
            "eventTime": format_micro_time(now),
            "action": action,
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }
        if related is not None:
            event["related"] = reference_to(related)
        self._waiting.append(event)
        self._arrived.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Write until stopped."""
        await run_until(stop, self._run())

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            await self.step()

    async def step(self) -> None:
        """Write everything that waits, several at a time."""
        self._arrived.clear()
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), WRITES_IN_FLIGHT_MAX))]
            await asyncio.gather(*(self._write(event) for event in batch))

    async def _write(self, event: Object) -> None:
        reference = event["involvedObject"]
        key = (reference.get("uid", ""), event["reason"], event["action"], event["message"], event["type"])
        series = self._series.get(key)
        now = self._clock.monotonic()
        try:
            if series is not None and now - series.last_seconds < SERIES_SECONDS:
                series.count += 1
                series.last_seconds = now
                patch = {"series": {"count": series.count, "lastObservedTime": event["eventTime"]}}
                await self._client.patch(EVENTS, series.name, patch, namespace=series.namespace)
                return
            metadata = event["metadata"]
            self._remember(key, _Series(metadata["name"], metadata["namespace"], 1, now))
            await self._client.create(EVENTS, event)
        except (ApiError, ServerUnavailableError) as error:
            self._series.pop(key, None)
            logger.debug("Cannot write an event reason=%s error=%s", event["reason"], error)

    def _remember(self, key: tuple[str, ...], series: _Series) -> None:
        self._series[key] = series
        self._series.move_to_end(key)
        if len(self._series) > REMEMBERED_MAX:
            self._series.popitem(last=False)
