"""How much of the host's memory is in use, by the kubelet's rule. Reads only, of cgroup v1 and v2 alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUse:
    """Bytes; the working set is what cannot be dropped at once: usage less inactive file pages. Faults are totals."""

    capacity_bytes: int = 0
    usage_bytes: int = 0
    working_set_bytes: int = 0
    rss_bytes: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    swap_bytes: int = 0
    swap_available_bytes: int = 0

    @property
    def swap_capacity_bytes(self) -> int:
        """All swap of the host."""
        return self.swap_bytes + self.swap_available_bytes

    @property
    def available_bytes(self) -> int:
        """The signal memory.available."""
        return max(0, self.capacity_bytes - self.working_set_bytes)


def read_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> MemoryUse:
    """Read what the root cgroup uses.

    cgroup v2 counts nothing for its root: anonymous and file pages stand for it, which is what v1's kernel counts
    (opencontainers/cgroups, fs2). Where neither is mounted the kernel's own estimate serves.
    """
    numbers = _read_numbers(meminfo)
    capacity = numbers.get("MemTotal:", 0) * 1024
    version_1 = _read_numbers(cgroup / "memory" / "memory.stat")
    version_2 = _read_numbers(cgroup / "memory.stat")
    details = version_1 or version_2
    if version_1:
        usage = int(_read(cgroup / "memory" / "memory.usage_in_bytes") or 0)
        inactive = version_1.get("total_inactive_file", 0)
    elif version_2:
        usage = version_2.get("anon", 0) + version_2.get("file", 0)
        inactive = version_2.get("inactive_file", 0)
    else:
        usage = capacity - numbers.get("MemAvailable:", 0) * 1024
        inactive = 0
    swap_available = numbers.get("SwapFree:", 0) * 1024
    return MemoryUse(
        capacity_bytes=capacity,
        swap_bytes=numbers.get("SwapTotal:", 0) * 1024 - swap_available,
        swap_available_bytes=swap_available,
        usage_bytes=usage,
        working_set_bytes=max(0, usage - inactive),
        rss_bytes=details.get("total_rss", details.get("anon", 0)),
        page_faults=details.get("total_pgfault", details.get("pgfault", 0)),
        major_page_faults=details.get("total_pgmajfault", details.get("pgmajfault", 0)),
    )


def _read_numbers(path: Path) -> dict[str, int]:
    """The first number of each line, by the line's first word."""
    numbers = {}
    for line in _read(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[1].isdigit():
            numbers[words[0]] = int(words[1])
    return numbers


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
