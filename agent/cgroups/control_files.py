"""From limits to the kernel's files, of cgroup v1 and v2. Pure.

Values as the kubelet writes them through libcontainer (pkg/kubelet/cm/cgroup_manager_linux.go, v1.36).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from agent.cgroups.limits import HUGE_PAGES_PREFIX, PodLimits
from agent.runtime.resource_settings import CPU_PERIOD_MICROSECONDS, SHARES_MAX, SHARES_MIN
from control.api.quantity import quantity_value

WEIGHT_MIN, WEIGHT_MAX = 1, 10_000
_UNLIMITED = ("max", "-1")
#: what v1 shows for no limit of memory: the largest number of whole pages
_V1_UNLIMITED_BYTES = 1 << 62


@dataclass(frozen=True, slots=True)
class ControlFile:
    """A value of a controller's file."""

    controller: str
    name: str
    text: str


#: the kernel kills all processes of a container together: the kubelet's default where it can (`singleProcessOOMKill`)
OOM_GROUP_FILE = ControlFile("memory", "memory.oom.group", "1")


def control_files(limits: PodLimits, *, version: str, page_sizes: Collection[str] = ()) -> list[ControlFile]:
    """What is written into the directory of a Pod's cgroup. `page_sizes` are those of the host, as `2Mi`.

    A size of huge pages that the Pod did not ask for is not its to use.
    """
    files = _files_v1(limits) if version == "1" else _files_v2(limits)
    if limits.pids_max:
        files.append(ControlFile("pids", "pids.max", str(limits.pids_max)))
    suffix = "limit_in_bytes" if version == "1" else "max"
    for size in page_sizes:
        name = f"hugetlb.{kernel_page_size(size)}.{suffix}"
        files.append(ControlFile("hugetlb", name, str(limits.huge_pages.get(f"{HUGE_PAGES_PREFIX}{size}", 0))))
    return files


def shares_file(shares: int, *, version: str) -> ControlFile:
    """The weight of a cgroup among its siblings."""
    if version == "1":
        return ControlFile("cpu", "cpu.shares", str(shares))
    return ControlFile("cpu", "cpu.weight", str(weight_of(shares)))


def weight_of(shares: int) -> int:
    """v2's weight (1 to 10000) of v1's shares (2 to 262144)."""
    return WEIGHT_MIN + (shares - SHARES_MIN) * (WEIGHT_MAX - WEIGHT_MIN) // (SHARES_MAX - SHARES_MIN)


def shares_of(weight: int) -> int:
    """v1's shares of v2's weight: the way back, as cadvisor goes it."""
    return SHARES_MIN + (weight - WEIGHT_MIN) * (SHARES_MAX - SHARES_MIN) // (WEIGHT_MAX - WEIGHT_MIN)


def kernel_page_size(size: str) -> str:
    """`2Mi` as the kernel names the files of the hugetlb controller: `2MB`."""
    kibibytes = quantity_value(size) >> 10
    for unit, shift in (("GB", 20), ("MB", 10)):
        if kibibytes >= 1 << shift:
            return f"{kibibytes >> shift}{unit}"
    return f"{kibibytes}KB"


def is_larger(text: str, than: str) -> bool:
    """Whether a file's new value grants more than the one it has."""
    return _amount(text) > _amount(than)


def _amount(text: str) -> float:
    word = text.split()[0] if text.split() else "0"
    if word in _UNLIMITED or int(word) >= _V1_UNLIMITED_BYTES:
        return float("inf")
    return float(word)


def _files_v1(limits: PodLimits) -> list[ControlFile]:
    files = [shares_file(limits.cpu_shares, version="1")]
    if limits.cpu_quota_microseconds:
        files.append(ControlFile("cpu", "cpu.cfs_quota_us", str(limits.cpu_quota_microseconds)))
    if limits.memory_bytes:
        files.append(ControlFile("memory", "memory.limit_in_bytes", str(limits.memory_bytes)))
    return files


def _files_v2(limits: PodLimits) -> list[ControlFile]:
    files = [shares_file(limits.cpu_shares, version="2")]
    if limits.cpu_quota_microseconds:
        files.append(ControlFile("cpu", "cpu.max", f"{limits.cpu_quota_microseconds} {CPU_PERIOD_MICROSECONDS}"))
    if limits.memory_bytes:
        files.append(ControlFile("memory", "memory.max", str(limits.memory_bytes)))
    return files
