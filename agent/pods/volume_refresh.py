"""Keeps mounted ConfigMaps, Secrets, tokens and downward API files current, one Pod after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from agent.volumes.protocol import VolumeError, VolumeManager
from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.objects import ReadOnlyObject
from control.api.pods import is_active
from control.client.transport import ServerUnavailableError

logger = logging.getLogger(__name__)

# The kubelet syncs each Pod about once a minute.
REFRESH_SECONDS = 60.0


class VolumeRefresh:
    """Refreshes all Pods of the node in turn."""

    def __init__(self, volumes: VolumeManager, pods: Callable[[], Iterable[ReadOnlyObject]], clock: Clock) -> None:
        self._volumes = volumes
        self._pods = pods
        self._clock = clock

    async def run(self) -> None:
        """Refresh for ever."""
        while True:
            await self._clock.sleep(REFRESH_SECONDS)
            await self.step()

    async def step(self) -> None:
        """Refresh every Pod once; one that fails keeps what it has."""
        for pod in list(self._pods()):
            if not pod["spec"].get("volumes") or not is_active(pod):
                continue
            try:
                await self._volumes.refresh(pod)
            except (VolumeError, ApiError, ServerUnavailableError) as error:
                logger.warning("Cannot refresh volumes pod=%s error=%s", pod["metadata"]["name"], error)
