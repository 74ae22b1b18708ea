"""Cgroups as systemd's slices: their names, where they are, and limits as properties of units. Pure.

Names as the kubelet's ToSystemd, properties as libcontainer's for both versions of cgroups: `/podling/c/n` is
`podling-c-n.slice`, and a dash within a name becomes an underscore, because dashes nest slices.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.cgroups.control_files import ControlFile

SUFFIX = ".slice"
QUOTAS_PER_SECOND = 10  # periods of 100 ms

#: property of a value: cgroup file → its name
PROPERTIES = {
    "cpu.shares": "CPUShares",
    "cpu.weight": "CPUWeight",
    "cpu.cfs_quota_us": "CPUQuotaPerSecUSec",
    "cpu.max": "CPUQuotaPerSecUSec",
    "memory.limit_in_bytes": "MemoryLimit",
    "memory.max": "MemoryMax",
    "pids.max": "TasksMax",
}


def slice_name(path: str) -> str:
    """The unit of a cgroup of `layout.py`."""
    return "-".join(part.replace("-", "_") for part in path.split("/")) + SUFFIX


def slice_path(path: str) -> str:
    """Where systemd puts it: each slice is a directory in that of the slice above."""
    parts = path.split("/")
    return "/".join(slice_name("/".join(parts[:count])) for count in range(1, len(parts) + 1))


def child_name(path: str, directory: str) -> str:
    """The name of a cgroup below a path, from that of its directory; empty for what is no slice of it."""
    prefix = slice_name(path).removesuffix(SUFFIX) + "-"
    if not directory.startswith(prefix) or not directory.endswith(SUFFIX):
        return ""
    return directory.removeprefix(prefix).removesuffix(SUFFIX).replace("_", "-")


def unit_properties(files: Iterable[ControlFile]) -> dict[str, int]:
    """Limits as properties. What systemd has no property for (huge pages) is not among them."""
    found = {}
    for file in files:
        name = PROPERTIES.get(file.name)
        if name is not None:
            amount = int(file.text.split()[0])
            found[name] = amount * QUOTAS_PER_SECOND if name == "CPUQuotaPerSecUSec" else amount
    return found
