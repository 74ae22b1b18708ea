"""Which mounts a container gets, from its volumeMounts and the Pod's prepared volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from agent.volumes.protocol import Device, ImageSubPathError, Mount, MountedVolume, VolumeError
from agent.volumes.sub_path import expand_expression
from control.api.objects import ReadOnlyObject

# A private mount is not asked for by name: of a directory that holds its own root the engine then refuses it.
_PROPAGATION = {"": "", "None": "", "HostToContainer": "rslave", "Bidirectional": "rshared"}

# (volume, sub path, index of the mount) -> what to mount
ResolveSubPath = Callable[[MountedVolume, str, int], Path]


def compute_mounts(
    container: ReadOnlyObject,
    volumes: Mapping[str, MountedVolume],
    environment: Mapping[str, str],
    resolve_sub_path: ResolveSubPath,
) -> list[Mount]:
    """The mounts in the order of the spec. Raises VolumeError."""
    mounts = []
    for index, spec in enumerate(container.get("volumeMounts") or ()):
        volume = volumes.get(spec["name"])
        if volume is None:
            raise VolumeError(f'cannot find volume "{spec["name"]}" to mount into container "{container["name"]}"')
        if volume.is_block:
            raise VolumeError(f'volume "{spec["name"]}" is a block device: it has no files to mount')
        sub_path = spec.get("subPath") or ""
        if spec.get("subPathExpr"):
            sub_path = expand_expression(spec["subPathExpr"], environment)
        propagation = _PROPAGATION[spec.get("mountPropagation") or ""]
        if volume.docker_volume and propagation:
            raise VolumeError(f'volume "{volume.name}" is a Docker volume: it has no mount propagation')
        host_path = volume.host_path
        if sub_path:
            host_path = _resolve(container, volume, sub_path, index, resolve_sub_path)
        mounts.append(
            Mount(
                host_path=str(host_path),
                container_path=_absolute(spec["mountPath"]),
                docker_volume="" if sub_path else volume.docker_volume,
                read_only=bool(spec.get("readOnly")) or volume.read_only,
                propagation=propagation,
            )
        )
    return mounts


def compute_devices(container: ReadOnlyObject, volumes: Mapping[str, MountedVolume]) -> list[Device]:
    """The block devices in the order of the spec. Raises VolumeError."""
    devices = []
    for spec in container.get("volumeDevices") or ():
        volume = volumes.get(spec["name"])
        if volume is None or not volume.is_block:
            raise VolumeError(f'cannot find block volume "{spec["name"]}" to map into container "{container["name"]}"')
        device = Device(host_path=str(volume.host_path), container_path=spec["devicePath"], read_only=volume.read_only)
        devices.append(device)
    return devices


def _resolve(
    container: ReadOnlyObject, volume: MountedVolume, sub_path: str, index: int, resolve_sub_path: ResolveSubPath
) -> Path:
    try:
        return resolve_sub_path(volume, sub_path, index)
    except (VolumeError, OSError) as error:
        why = str(error)
        if isinstance(error, OSError):
            why = f'"{sub_path}" does not exist in the image' if volume.is_image else error.strerror or why
        raise (ImageSubPathError if volume.is_image else VolumeError)(
            f'failed to prepare subPath for volumeMount "{volume.name}" of container "{container["name"]}": {why}'
        ) from error


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"
