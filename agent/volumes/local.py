"""local volumes: a directory or a block device of this very node; and the directories of Podling's provisioner.

A device without `volumeMode: Block` stands for the file system on it, which each of its Pods mounts.

The root of the provisioned ones is the agent's own. A volume there is made when it is first mounted and removed when
the provisioner says so; any other path must exist, as with the kubelet.
"""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

from agent.volumes.bind_options import parse_bind_options
from agent.volumes.device import DEFAULT_FILE_SYSTEM, format_and_mount
from agent.volumes.mounting import has_mount_attributes, mount_copy, mounts_below
from agent.volumes.ownership import give_to_pod
from agent.volumes.protocol import MapError, VolumeError
from agent.volumes.volume_type import VolumeRequest

MODE = 0o777
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def prepare(request: VolumeRequest) -> Path:
    """Return the volume's directory or device. Raises VolumeError."""
    path = Path(request.spec["path"])
    if path.parent == request.local_root and not path.exists():
        path.mkdir(parents=True)
        path.chmod(MODE)
    if request.is_block:
        return _find_device(path)
    if not path.exists():
        raise VolumeError(f'path "{path}" does not exist', step="MountVolume.NewMounter initialization")
    place = path
    if stat.S_ISBLK(path.stat().st_mode):
        place = _mount_device(request, path)
    elif request.mount_options:
        place = _mount_directory(request, path)
    # Whoever mounts first decides on the group: those who have the volume already must not lose it.
    if not request.read_only and not request.is_shared:
        give_to_pod(request, place)
    return place


def _find_device(path: Path) -> Path:
    try:
        device = path.resolve(strict=True)
    except OSError as error:
        message = f"lstat {path}: {(error.strerror or str(error)).lower()}"
        raise MapError(message, step="MapVolume.EvalHostSymlinks") from error
    if not stat.S_ISBLK(device.stat().st_mode):
        raise MapError(f"{path} is not a block device", step="MapVolume.MapBlockVolume")
    return device


def _mount_directory(request: VolumeRequest, directory: Path) -> Path:
    """Mount it on the volume's own directory, with its options."""
    wanted = parse_bind_options(request.mount_options)
    if not request.may_mount or not has_mount_attributes():
        raise VolumeError(f"mount options of {directory} are not supported: the agent may not mount directories here")
    if request.path not in mounts_below(request.path):
        request.path.mkdir(parents=True, exist_ok=True)
        mount_copy(directory, request.path, attributes=wanted.attributes, cleared=wanted.cleared)
    return request.path


def _mount_device(request: VolumeRequest, device: Path) -> Path:
    step = "MountVolume.MountDevice"
    if not request.may_mount:
        raise VolumeError(f"{device} is a block device, and the agent may not mount file systems here", step=step)
    if request.path not in mounts_below(request.path):
        file_system = request.spec.get("fsType") or ""
        try:
            format_and_mount(
                device,
                request.path,
                file_system=file_system or DEFAULT_FILE_SYSTEM,
                options=request.mount_options,
                read_only=request.read_only,
                size_bytes=request.size_bytes,
            )
        except VolumeError as error:
            what = f"local: failed to mount device {device} at {request.path} (fstype: {file_system})"
            raise VolumeError(f"{what}, error {error}", step=step) from error
    return request.path


def remove(root: Path, volume_name: str) -> None:
    """Remove the directory of a provisioned volume with all that is in it; succeeds if it is gone."""
    if not _NAME.fullmatch(volume_name):
        raise VolumeError(f"invalid volume name: {volume_name}")
    try:
        shutil.rmtree(root / volume_name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise VolumeError(f"cannot remove {error.filename}: {error.strerror}") from error
