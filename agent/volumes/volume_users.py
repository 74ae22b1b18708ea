"""Volumes of the access mode ReadWriteOncePod: one Pod of the node at a time, whoever brought the others here.

The scheduler sees to it already; a Pod that names its node comes without it. What a Pod has is a file in its
directory, so that it is known after a restart of the agent and given back with the directory. KEP-2485; the check and
its words are the kubelet's (pkg/volume/util/operationexecutor, v1.36).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.volumes.pod_directory import PodDirectory
from agent.volumes.protocol import VolumeError


class ExclusiveVolumes:
    """Who has which of them. `root` holds the Pods' directories."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = asyncio.Lock()

    async def take(self, pod_uid: str, volume_name: str) -> None:
        """Give a PersistentVolume to a Pod; idempotent. Raises VolumeError while another Pod has it."""
        async with self._lock:
            await asyncio.to_thread(self._take, pod_uid, volume_name)

    def _take(self, pod_uid: str, volume_name: str) -> None:
        own = PodDirectory(self._root / pod_uid).exclusive_volume(volume_name)
        if own.exists():
            return
        if any(PodDirectory(other).exclusive_volume(volume_name).exists() for other in self._root.glob("*")):
            raise VolumeError("volume uses the ReadWriteOncePod access mode and is already in use by another pod")
        own.parent.mkdir(parents=True, exist_ok=True)
        own.touch()
