"""The volumes that the agent writes or keeps in memory, as the kubelet tells of them: counted when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.node.eviction.pod_usage import FileUsage
from agent.node.file_usage import measure_directory
from agent.node.host_facts import DiskUsage, read_disk_usage
from agent.volumes.pod_directory import PodDirectory
from agent.volumes.pod_volumes import volume_type
from control.api.meta import uid_of
from control.api.objects import ReadOnlyObject

WRITTEN_TYPES = frozenset({"secret", "projected", "downwardAPI"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenVolume:
    """A volume of a Pod, the file system it is on, and what it holds."""

    name: str
    disk: DiskUsage
    files: FileUsage


def read_written_volumes(root: Path, pod: ReadOnlyObject) -> tuple[WrittenVolume, ...]:
    """Secrets, projections, the downward API and `emptyDir` in memory. `root` holds the Pods' directories. Blocking.

    Those that are not there yet, or gone, are left out. Local ephemeral volumes are counted elsewhere: for eviction.
    """
    directory, found = PodDirectory(root / uid_of(pod)), []
    for volume in pod["spec"].get("volumes") or ():
        type_name = volume_type(volume)
        if type_name not in WRITTEN_TYPES and not _is_in_memory(type_name, volume):
            continue
        path = str(directory.volume(type_name, volume["name"]))
        try:
            disk, files = read_disk_usage(path), measure_directory(path)
        except OSError:
            continue
        found.append(WrittenVolume(name=volume["name"], disk=disk, files=files))
    return tuple(found)


def _is_in_memory(type_name: str, volume: Any) -> bool:
    return bool(type_name == "emptyDir" and volume["emptyDir"].get("medium"))
