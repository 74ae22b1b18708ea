"""What the agent has written into volumes, so that a look at each file spares reading it.

A volume is known by a digest of its files and by what the disk says of each: who changes or removes a file, a link or
the mount below them changes that too. An agent that has just started knows nothing, and so compares everything once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.volumes.atomic_writer import DATA_LINK, FileContent

# device, inode, size, and times of the last change of content and of anything else, in nanoseconds
_Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Written:
    digest: bytes
    stamps: tuple[_Stamp, ...]


class WrittenFiles:
    """The volumes of a node whose files are as they were written, by Pod and directory."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[Path, _Written]] = {}

    def has(self, pod_uid: str, volume: Path, files: Mapping[str, FileContent]) -> bool:
        """Whether these files were written last and nobody has touched them since. Blocking."""
        known = self._pods.get(pod_uid, {}).get(volume)
        return known is not None and known.digest == _digest(files) and known.stamps == _stamps(volume, files)

    def note(self, pod_uid: str, volume: Path, files: Mapping[str, FileContent]) -> None:
        """Remember a volume that has just been written or found right. Blocking."""
        stamps = _stamps(volume, files)
        if stamps is not None:
            self._pods.setdefault(pod_uid, {})[volume] = _Written(_digest(files), stamps)

    def forget_pod(self, pod_uid: str) -> None:
        """Forget the volumes of a Pod that goes."""
        self._pods.pop(pod_uid, None)


def _digest(files: Mapping[str, FileContent]) -> bytes:
    digest = hashlib.sha256()
    for path in sorted(files):
        content = files[path]
        digest.update(f"{path}\0{content.mode}\0{content.owner}\0{len(content.data)}\0".encode())
        digest.update(content.data)
    return digest.digest()


def _stamps(volume: Path, files: Mapping[str, FileContent]) -> tuple[_Stamp, ...] | None:
    """What the disk says of the directory of the files and of each file as a container opens it, through the links."""
    try:
        return tuple(_stamp(os.stat(f"{volume}/{name}")) for name in (DATA_LINK, *sorted(files)))
    except OSError:
        return None


def _stamp(found: os.stat_result) -> _Stamp:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
