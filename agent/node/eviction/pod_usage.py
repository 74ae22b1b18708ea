"""What a Pod uses of what may run out. Pure records; `measuring.py` fills them, ranking and limits read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUsage:
    """Files below some directories: bytes on disk (blocks, as du counts them) and inodes."""

    used_bytes: int = 0
    inodes: int = 0

    def plus(self, other: FileUsage) -> FileUsage:
        """Both together."""
        return FileUsage(used_bytes=self.used_bytes + other.used_bytes, inodes=self.inodes + other.inodes)


NO_FILES = FileUsage()


def total_files(usages: Iterable[FileUsage]) -> FileUsage:
    """All together."""
    total = NO_FILES
    for usage in usages:
        total = total.plus(usage)
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUse:
    """One container. `files` are its writable layer (`layer`) and its log, which both lie on the engine's disk."""

    memory_bytes: int = 0
    processes: int = 0
    files: FileUsage = NO_FILES
    layer: FileUsage = NO_FILES


@dataclass(frozen=True, slots=True, kw_only=True)
class PodUse:
    """One Pod: its containers by name, and its volumes on the node's disk by name."""

    containers: Mapping[str, ContainerUse] = field(default_factory=dict)
    volumes: Mapping[str, FileUsage] = field(default_factory=dict)

    @property
    def memory_bytes(self) -> int:
        """Working set of all containers."""
        return sum(container.memory_bytes for container in self.containers.values())

    @property
    def processes(self) -> int:
        """Processes of all containers."""
        return sum(container.processes for container in self.containers.values())

    @property
    def container_files(self) -> FileUsage:
        """Writable layers and logs."""
        return total_files(container.files for container in self.containers.values())

    @property
    def volume_files(self) -> FileUsage:
        """Local volumes."""
        return total_files(self.volumes.values())
