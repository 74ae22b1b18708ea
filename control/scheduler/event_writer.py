"""The scheduler's Events: in upstream's newer form, with an action and microseconds, repeats as a series.

Writing is a courtesy: it never blocks scheduling and its failures are only logged.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from control.api.builtin_kinds import EVENTS
from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_micro_time
from control.client.client import Client
from control.client.event_queue import EventNames, EventQueue
from control.client.events import reference_to
from control.client.recent import Recent
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
        self._queue = EventQueue(WAITING_MAX)
        self._names = EventNames()
        self._series: Recent[tuple[str, ...], _Series] = Recent(REMEMBERED_MAX)

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
        now = self._clock.now()
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": self._names.make_metadata(regarding, now),
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
        self._queue.put(event)

    async def run(self, stop: asyncio.Event) -> None:
        """Write until stopped."""
        await self._queue.run(stop, self.step)

    async def step(self) -> None:
        """Write everything that waits, several at a time."""
        while batch := self._queue.take(WRITES_IN_FLIGHT_MAX):
            await asyncio.gather(*(self._write(event) for event in batch))

    async def _write(self, event: Object) -> None:
        reference = event["involvedObject"]
        key = (reference.get("uid", ""), event["reason"], event["action"], event["message"], event["type"])
        series = self._series.find(key)
        now = self._clock.monotonic()
        try:
            if series is not None and now - series.last_seconds < SERIES_SECONDS:
                series.count += 1
                series.last_seconds = now
                patch = {"series": {"count": series.count, "lastObservedTime": event["eventTime"]}}
                await self._client.patch(EVENTS, series.name, patch, namespace=series.namespace)
                return
            metadata = event["metadata"]
            self._series.put(key, _Series(metadata["name"], metadata["namespace"], 1, now))
            await self._client.create(EVENTS, event)
        except (ApiError, ServerUnavailableError) as error:
            self._series.forget(key)
            logger.debug("Cannot write an event reason=%s error=%s", event["reason"], error)
