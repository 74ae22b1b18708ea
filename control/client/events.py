"""`EventRecorder`: core/v1 Events about objects, written in the background.

Recording never blocks and never raises: an Event is a courtesy to people, not a part of any decision. When the server
cannot keep up or is away, Events are lost rather than work delayed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import MappingProxyType

from control.api.builtin_kinds import EVENTS
from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time
from control.client.client import Client, PatchType
from control.client.event_correlation import Correlated, EventCorrelator
from control.client.event_queue import EventNames, EventQueue
from control.client.transport import ServerUnavailableError

logger = logging.getLogger(__name__)

WAITING_MAX = 1000
TRIES_MAX = 12
RETRY_SECONDS = 10.0


class EventRecorder:
    """Records as one component (`deployment-controller`, `kubelet` with its node as `host`)."""

    def __init__(self, client: Client, *, component: str, clock: Clock, host: str = "") -> None:
        self._client = client
        self._component = component
        self._clock = clock
        self._host = host
        self._correlator = EventCorrelator()
        self._queue = EventQueue(WAITING_MAX)
        self._names = EventNames()

    def record(
        self,
        regarding: ReadOnlyObject,
        type: str,
        reason: str,
        message: str,
        *,
        field_path: str = "",
        annotations: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Record that something happened to an object. `field_path` names a part: `spec.containers{nginx}`."""
        event = self._make_event(regarding, type, reason, message, field_path)
        if annotations:
            event["metadata"]["annotations"] = dict(annotations)
        self._queue.put(event)

    async def run(self, stop: asyncio.Event) -> None:
        """Write recorded Events until stopped."""
        await self._queue.run(stop, self.step)

    async def step(self) -> None:
        """Write everything that waits."""
        while taken := self._queue.take(1):
            correlated = self._correlator.correlate(taken[0], self._clock.monotonic())
            if correlated is not None:
                await self._write(correlated)

    async def _write(self, correlated: Correlated) -> None:
        for _ in range(TRIES_MAX):
            try:
                await self._write_once(correlated)
                return
            except ApiError as error:
                logger.debug("Event refused reason=%s error=%s", correlated.event["reason"], error)
                return
            except ServerUnavailableError as error:
                logger.debug("Cannot write an event reason=%s error=%s", correlated.event["reason"], error)
                await self._clock.sleep(RETRY_SECONDS)
            except Exception:
                logger.exception("Cannot write an event")
                return

    async def _write_once(self, correlated: Correlated) -> None:
        event = correlated.event
        metadata = event["metadata"]
        if not correlated.is_new:
            patch = {key: event[key] for key in ("count", "lastTimestamp", "message")}
            try:
                await self._client.patch(
                    EVENTS, metadata["name"], patch, namespace=metadata["namespace"], type=PatchType.STRATEGIC
                )
                return
            except ApiError as error:
                if error.code != 404:  # expired meanwhile: write it anew
                    raise
        await self._client.create(EVENTS, event)

    def _make_event(self, regarding: ReadOnlyObject, type: str, reason: str, message: str, field_path: str) -> Object:
        now = self._clock.now()
        moment = format_time(now)
        source = {"component": self._component}
        if self._host:
            source["host"] = self._host
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": self._names.make_metadata(regarding, now),
            "involvedObject": reference_to(regarding, field_path=field_path),
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "type": type,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }


def reference_to(obj: ReadOnlyObject, *, field_path: str = "") -> Object:
    """An ObjectReference to an object."""
    metadata = obj["metadata"]
    reference: Object = {
        "kind": obj.get("kind", ""),
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
        "fieldPath": field_path,
    }
    return {key: value for key, value in reference.items() if value}
