"""Removes what former Pods have left on the node: directories, volumes, links, cgroups, and the links of logs.

Their containers are for workers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.cgroups.protocol import PodCgroups
from agent.network.protocol import NetworkError, PodNetwork
from agent.pods.container_cache import ContainerCache
from agent.pods.pod_files import PodFiles
from agent.pods.pod_workers import PodWorkers
from agent.volumes.protocol import VolumeError, VolumeManager
from control.api.clock import Clock

logger = logging.getLogger(__name__)

GARBAGE_SECONDS = 300.0


class GarbageCollector:
    """Sweeps now and then; a Pod is wanted while it has a worker or a container.

    One that has ended needs no cgroup any more: it goes with its sandbox, unless somebody has removed that.
    """

    def __init__(
        self,
        *,
        cache: ContainerCache,
        volumes: VolumeManager,
        files: PodFiles,
        network: PodNetwork,
        cgroups: PodCgroups,
        workers: PodWorkers,
        sweep_log_links: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._cache = cache
        self._volumes = volumes
        self._files = files
        self._network = network
        self._cgroups = cgroups
        self._workers = workers
        self._sweep_log_links = sweep_log_links
        self._clock = clock

    async def run(self) -> None:
        """Sweep for ever. Begin only after the API's Pods have their workers."""
        while True:
            await self.step()
            await self._clock.sleep(GARBAGE_SECONDS)

    async def step(self) -> None:
        """Sweep once."""
        wanted = self._wanted()
        try:
            await self._volumes.collect_garbage(wanted)
            await asyncio.to_thread(self._files.collect_garbage, wanted)
            await self._network.collect_garbage(self._cache.used_addresses())
            await self._cgroups.collect_garbage(lambda: self._wanted() - self._workers.released_uids())
            await asyncio.to_thread(self._sweep_log_links)
        except (VolumeError, NetworkError, OSError) as error:
            logger.warning("Cannot remove what former Pods have left error=%s", error)

    def _wanted(self) -> frozenset[str]:
        return self._workers.uids() | self._cache.pod_uids()
