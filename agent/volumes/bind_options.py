"""mountOptions of volumes that are directories of the node: what a bind mount can be told, as by mount(8). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.volumes.mounting import (
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME,
)
from agent.volumes.protocol import VolumeError

#: option → (attributes that are set, attributes that are cleared)
_OPTIONS: dict[str, tuple[int, int]] = {
    "atime": (0, MOUNT_ATTR__ATIME),
    "relatime": (0, MOUNT_ATTR__ATIME),
    "noatime": (MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME),
    "strictatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
}
_SWITCHES = {
    ("ro", "rw"): MOUNT_ATTR_RDONLY,
    ("nosuid", "suid"): MOUNT_ATTR_NOSUID,
    ("nodev", "dev"): MOUNT_ATTR_NODEV,
    ("noexec", "exec"): MOUNT_ATTR_NOEXEC,
    ("nodiratime", "diratime"): MOUNT_ATTR_NODIRATIME,
    ("nosymfollow", "symfollow"): MOUNT_ATTR_NOSYMFOLLOW,
}
for (on, off), attribute in _SWITCHES.items():
    _OPTIONS[on] = (attribute, 0)
    _OPTIONS[off] = (0, attribute)
_NOTHING_TO_DO = frozenset({"bind", "defaults", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class BindAttributes:
    """Attributes (`MOUNT_ATTR_*`) of a mount that are set, and those that are cleared first."""

    attributes: int = 0
    cleared: int = 0


def parse_bind_options(options: Iterable[str]) -> BindAttributes:
    """The attributes that options stand for, the last one counting. Raises VolumeError for one of a file system."""
    attributes = cleared = 0
    for option in ",".join(options).split(","):
        if option in _NOTHING_TO_DO:
            continue
        if option not in _OPTIONS:
            raise VolumeError(f'mount option "{option}" is not one of a directory')
        added, removed = _OPTIONS[option]
        attributes = attributes & ~removed | added
        cleared = cleared & ~added | removed
    return BindAttributes(attributes=attributes, cleared=cleared)
