"""How full the volumes behind claims are, as far as they are local: their file systems, asked when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.node.host_facts import DiskUsage, read_disk_usage
from agent.volumes.claimed_places import find_place
from agent.volumes.pod_directory import PodDirectory
from control.api.meta import uid_of
from control.api.objects import ReadOnlyObject
from control.api.volumes import claim_name_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimDisk:
    """The file system of a Pod's volume, and the claim that stands for it."""

    volume_name: str
    claim_name: str
    disk: DiskUsage


def read_claim_disks(root: Path, pod: ReadOnlyObject) -> tuple[ClaimDisk, ...]:
    """Look at the mounted ones. `root` holds the directories of all Pods. Blocking."""
    directory, found = PodDirectory(root / uid_of(pod)), []
    for volume in pod["spec"].get("volumes") or ():
        claim_name = claim_name_of(pod, volume)
        place = find_place(directory, volume["name"]) if claim_name else None
        if place is None:
            continue
        try:
            disk = read_disk_usage(str(place))
        except OSError:
            continue  # it has just gone
        found.append(ClaimDisk(volume_name=volume["name"], claim_name=claim_name, disk=disk))
    return tuple(found)
