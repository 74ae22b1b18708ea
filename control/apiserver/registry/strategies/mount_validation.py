"""Rules of volume mounts and block devices of containers (upstream: ValidateVolumeMounts, ValidateVolumeDevices)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError
from control.apiserver.registry.strategies.field_rules import Errors, descending_path, one_of

Volumes = Mapping[str, Mapping[str, Any]]


def volume_mounts(path: str, container: Mapping[str, Any], volumes: Volumes) -> Errors:
    """Every mount names a volume of the Pod and has a path of its own."""
    devices = {device.get("name", ""): device.get("devicePath", "") for device in container.get("volumeDevices") or ()}
    mount_paths: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        item, name, mount_path = f"{path}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield FieldError.required(f"{item}.name")
        if name not in volumes:
            yield FieldError.not_found(f"{item}.name", name)
        if not mount_path:
            yield FieldError.required(f"{item}.mountPath")
        if mount_path in mount_paths:
            yield FieldError.invalid(f"{item}.mountPath", mount_path, "must be unique")
        mount_paths.add(mount_path)
        if name in devices:
            yield FieldError.invalid(f"{item}.name", name, "must not already exist in volumeDevices")
        if mount_path in devices.values():
            detail = "must not already exist as a path in volumeDevices"
            yield FieldError.invalid(f"{item}.mountPath", mount_path, detail)
        yield from _sub_path(path, item, mount)
        yield from _propagation(path, mount, container)


def _sub_path(path: str, item: str, mount: Mapping[str, Any]) -> Errors:
    # Upstream leaves the index out of the paths of these causes.
    if mount.get("subPath"):
        yield from descending_path(f"{path}.subPath", mount["subPath"])
    if mount.get("subPathExpr"):
        if mount.get("subPath"):
            detail = "subPathExpr and subPath are mutually exclusive"
            yield FieldError.invalid(f"{item}.subPathExpr", mount["subPathExpr"], detail)
        yield from descending_path(f"{path}.subPathExpr", mount["subPathExpr"])


def _propagation(path: str, mount: Mapping[str, Any], container: Mapping[str, Any]) -> Errors:
    propagation, recursive = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    if propagation is not None:
        field = f"{path}.mountPropagation"
        yield from one_of(field, propagation, ("Bidirectional", "HostToContainer", "None"))
        if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
            detail = "Bidirectional mount propagation is available only to privileged containers"
            yield FieldError.forbidden(field, detail)
    if recursive is None:
        return
    field = f"{path}.recursiveReadOnly"
    yield from one_of(field, recursive, ("Disabled", "Enabled", "IfPossible"))
    if recursive in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            yield FieldError.forbidden(field, "may only be specified when readOnly is true")
        if propagation is not None and propagation != "None":
            detail = "may only be specified when mountPropagation is None or not specified"
            yield FieldError.forbidden(field, detail)


def volume_devices(path: str, container: Mapping[str, Any], volumes: Volumes) -> Errors:
    """Every block device names a claim of the Pod and has a path of its own."""
    mounts = {mount.get("name", ""): mount.get("mountPath", "") for mount in container.get("volumeMounts") or ()}
    names: set[str] = set()
    paths: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        item, name, device_path = f"{path}[{index}]", device.get("name", ""), device.get("devicePath", "")
        if not name:
            yield FieldError.required(f"{item}.name")
        if name in names:
            yield FieldError.invalid(f"{item}.name", name, "must be unique")
        volume = volumes.get(name)
        if volume is None:
            yield FieldError.not_found(f"{item}.name", name)
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield FieldError.invalid(f"{item}.name", name, detail)
        if not device_path:
            yield FieldError.required(f"{item}.devicePath")
        if device_path in paths:
            yield FieldError.invalid(f"{item}.devicePath", device_path, "must be unique")
        if ".." in device_path.split("/"):
            yield FieldError.invalid(f"{item}.devicePath", device_path, "can not contain backsteps ('..')")
        else:
            paths.add(device_path)
        if name in mounts:
            yield FieldError.invalid(f"{item}.name", name, "must not already exist in volumeMounts")
        if device_path in mounts.values():
            detail = "must not already exist as a path in volumeMounts"
            yield FieldError.invalid(f"{item}.devicePath", device_path, detail)
        names.add(name)
