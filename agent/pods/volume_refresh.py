"""Keeps mounted ConfigMaps, Secrets, tokens and downward API files current.

A sweep goes through all Pods every ten seconds and reads each object of the API once, however many Pods mount it; a
Pod whose labels or annotations have changed is refreshed at once. The kubelet takes up to a minute for either.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from agent.pods.event_pace import EventPace
from agent.pods.read_once import ReadOnce
from agent.volumes.protocol import ConfigurationSource, VolumeError, VolumeManager
from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.meta import uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_active
from control.client.running import run_until
from control.client.transport import ServerUnavailableError

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 10.0


class VolumeRefresh:
    """Refreshes the volumes of all Pods of the node."""

    def __init__(
        self,
        volumes: VolumeManager,
        objects: ConfigurationSource,
        pods: Callable[[], Iterable[ReadOnlyObject]],
        clock: Clock,
        record: Callable[..., None],
    ) -> None:
        self._volumes = volumes
        self._objects = objects
        self._pods = pods
        self._clock = clock
        self._record = record
        self._told: dict[str, EventPace] = {}
        self._changed: set[str] = set()
        self._wake = asyncio.Event()

    def on_pod_change(self, old: Object | None, new: Object | None) -> None:
        """Informer handler: what the downward API shows may have changed."""
        if old is None or new is None:
            return
        before, after = old["metadata"], new["metadata"]
        if any(before.get(field) != after.get(field) for field in ("labels", "annotations")):
            self._changed.add(after["uid"])
            self._wake.set()

    async def run(self) -> None:
        """Refresh for ever."""
        due = self._clock.monotonic() + REFRESH_SECONDS
        while True:
            await self._wait(due - self._clock.monotonic())
            if self._clock.monotonic() >= due:
                await self.step()
                due = self._clock.monotonic() + REFRESH_SECONDS
            else:
                await self.step_changed()

    async def step(self) -> None:
        """Refresh every Pod once; one that fails keeps what it has."""
        self._changed.clear()
        pods = list(self._pods())
        await self._refresh(pods)
        uids = {uid_of(pod) for pod in pods}
        self._told = {uid: told for uid, told in self._told.items() if uid in uids}

    async def step_changed(self) -> None:
        """Refresh the Pods that have changed."""
        changed, self._changed = self._changed, set()
        await self._refresh([pod for pod in self._pods() if pod["metadata"]["uid"] in changed])

    async def _refresh(self, pods: Iterable[ReadOnlyObject]) -> None:
        objects = ReadOnce(self._objects)
        for pod in pods:
            if not pod["spec"].get("volumes") or not is_active(pod):
                continue
            try:
                await self._volumes.refresh(pod, objects)
            except VolumeError as error:
                told = self._told.setdefault(uid_of(pod), EventPace())
                if told.is_due(str(error), self._clock.monotonic()):
                    self._record(pod, "Warning", "FailedMount", str(error))
            except (ApiError, ServerUnavailableError) as error:
                logger.warning("Cannot refresh volumes pod=%s error=%s", pod["metadata"]["name"], error)
            else:
                self._told.pop(uid_of(pod), None)

    async def _wait(self, seconds: float) -> None:
        """Return when a Pod has changed or the time has passed."""
        self._wake.clear()
        if self._changed:
            return
        await run_until(self._wake, self._clock.sleep(max(0.0, seconds)))
