"""Which Pods of the node use which PersistentVolumes.

One of the access mode ReadWriteOncePod is for one Pod at a time, whoever brought the others here: the scheduler sees to
it already, but a Pod that names its node comes without it. What a Pod uses is a file in its directory, so that it is
known after a restart of the agent and given back with the directory. KEP-2485; the check and its words are the
kubelet's (pkg/volume/util/operationexecutor, v1.36).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.volumes.pod_directory import PodDirectory
from agent.volumes.protocol import VolumeError

_IN_USE = "volume uses the ReadWriteOncePod access mode and is already in use by another pod"


class VolumeUsers:
    """Who uses which of them. `root` holds the Pods' directories."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = asyncio.Lock()

    async def add(self, pod_uid: str, volume_name: str, *, is_exclusive: bool) -> bool:
        """Let a Pod use a PersistentVolume; idempotent. Returns whether others use it too.

        Raises VolumeError if they must not.
        """
        async with self._lock:
            return await asyncio.to_thread(self._add, pod_uid, volume_name, is_exclusive)

    def _add(self, pod_uid: str, volume_name: str, is_exclusive: bool) -> bool:
        own = PodDirectory(self._root / pod_uid).used_volume(volume_name)
        used = (PodDirectory(directory).used_volume(volume_name) for directory in self._root.glob("*"))
        is_shared = any(other.exists() for other in used if other != own)
        if own.exists():
            return is_shared
        if is_shared and is_exclusive:
            raise VolumeError(_IN_USE)
        own.parent.mkdir(parents=True, exist_ok=True)
        own.touch()
        return is_shared
