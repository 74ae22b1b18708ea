"""Volumes of the engine's own (`docker volume`): their records, from the API's JSON and from create bodies. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRecord:
    """A volume as the engine describes it. `mountpoint` is where it is on the engine's host while it is mounted."""

    name: str
    driver: str
    mountpoint: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


def parse_volume(described: Mapping[str, Any]) -> VolumeRecord:
    """Record of `GET /volumes/{name}` or of a row of `GET /volumes`."""
    return VolumeRecord(
        name=described["Name"],
        driver=described.get("Driver") or "",
        mountpoint=described.get("Mountpoint") or "",
        labels=described.get("Labels") or {},
        options=described.get("Options") or {},
    )


def mounted_volumes(body: Mapping[str, Any]) -> Iterator[VolumeRecord]:
    """The volumes that a container's create body mounts, as the engine makes those that do not exist yet."""
    for mount in (body.get("HostConfig") or {}).get("Mounts") or ():
        if mount.get("Type") == "volume":
            options = mount.get("VolumeOptions") or {}
            driver = options.get("DriverConfig") or {}
            yield VolumeRecord(
                name=mount["Source"],
                driver=driver.get("Name") or "local",
                mountpoint=f"/var/lib/docker/volumes/{mount['Source']}/_data",
                labels=options.get("Labels") or {},
                options=driver.get("Options") or {},
            )
