"""fsGroup: giving the files of a volume to the Pod's group, as pkg/volume/volume_linux.go does."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agent.volumes.volume_type import VolumeRequest

_READ_WRITE, _READ_ONLY, _DIRECTORY = 0o660, 0o440, 0o2110


def apply_fs_group(volume: Path, group: int, *, read_only: bool) -> None:
    """Give everything below to the group, with the rights to use it; new files inherit the group (setgid)."""
    _apply(volume, group, read_only)
    for directory, names, files in os.walk(volume):
        for name in (*names, *files):
            _apply(Path(directory) / name, group, read_only)


def give_to_pod(request: VolumeRequest, place: Path) -> None:
    """Give a place to the group of the Pod, unless it has it and the Pod is content with that.

    Where the place is a link, the volume is what it leads to: that is what containers have.
    """
    group = request.fs_group
    if group is None or (request.group_on_mismatch and has_group(place, group)):
        return
    apply_fs_group(place.resolve(), group, read_only=False)


def group_warning(request: VolumeRequest, place: Path) -> tuple[str, str] | None:
    """The Event (reason, message) for a Pod that wants another group than the Pods that have the volume already."""
    wanted, found = request.fs_group, place.stat().st_gid
    if wanted is None or request.is_block or wanted == found:
        return None
    what = f"The requested fsGroup is {wanted}, but the volume {request.volume_name} has GID {found}"
    message = f"{what}. The volume may not be shareable."
    return "AlreadyMountedVolume", message


def has_group(volume: Path, group: int) -> bool:
    """Whether the root of a volume is the group's already: `OnRootMismatch` then leaves the rest alone."""
    status = volume.stat()
    return status.st_gid == group and status.st_mode & (_READ_WRITE | _DIRECTORY) == _READ_WRITE | _DIRECTORY


def _apply(path: Path, group: int, read_only: bool) -> None:
    os.lchown(path, -1, group)
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return
    added = _READ_ONLY if read_only else _READ_WRITE
    if stat.S_ISDIR(mode):
        added |= _DIRECTORY
    path.chmod(stat.S_IMODE(mode) | added)
