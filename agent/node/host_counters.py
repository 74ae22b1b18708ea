"""What the whole host has used so far: processor time, memory, network. Reads only, of cgroup v1 and v2 alike.

Read when somebody asks for the node's usage, never at an interval.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_INTERFACES_LEFT_OUT = ("lo",)
_RECEIVED_BYTES, _RECEIVED_ERRORS, _SENT_BYTES, _SENT_ERRORS = 0, 2, 8, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUse:
    """Bytes in use; the working set is what cannot be dropped: usage less inactive file pages."""

    usage_bytes: int = 0
    working_set_bytes: int = 0
    available_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceCounters:
    """Bytes and errors of one network interface since it came up."""

    name: str
    received_bytes: int
    received_errors: int
    sent_bytes: int
    sent_errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCounters:
    """Totals since the host started. `started_at` is its start, in seconds since the epoch."""

    cpu_nanoseconds: int = 0
    memory: MemoryUse = MemoryUse()
    started_at: float = 0.0
    interfaces: tuple[InterfaceCounters, ...] = ()


def read_host_counters() -> HostCounters:
    """Read them all."""
    stat = _read(Path("/proc/stat"))
    return HostCounters(
        cpu_nanoseconds=cpu_nanoseconds(stat, os.sysconf("SC_CLK_TCK")),
        memory=memory_use(_read(Path("/proc/meminfo"))),
        started_at=boot_time(stat),
        interfaces=tuple(read_interfaces(1)),
    )


def read_interfaces(pid: int) -> list[InterfaceCounters]:
    """The network interfaces that a process sees, without its loopback; none if it is gone."""
    return parse_interfaces(_read(Path(f"/proc/{pid}/net/dev")))


def cpu_nanoseconds(stat: str, ticks_per_second: int) -> int:
    """Processor time in use, of all processors together, of /proc/stat: all but idle, waiting and stolen time."""
    for line in stat.splitlines():
        words = line.split()
        if words and words[0] == "cpu":
            # user nice system idle iowait irq softirq steal; guest time is part of user time.
            user, nice, system, _, _, irq, soft_irq = (int(word) for word in words[1:8])
            return (user + nice + system + irq + soft_irq) * 10**9 // ticks_per_second
    return 0


def memory_use(meminfo: str) -> MemoryUse:
    """Memory of the host of /proc/meminfo, by the rule of the root of cgroup v2: what is not free is in use."""
    values = {}
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        with suppress(ValueError, IndexError):
            values[name] = int(rest.split()[0]) * 1024
    usage = values.get("MemTotal", 0) - values.get("MemFree", 0)
    working_set = max(0, usage - values.get("Inactive(file)", 0))
    return MemoryUse(
        usage_bytes=usage,
        working_set_bytes=working_set,
        available_bytes=max(0, values.get("MemTotal", 0) - working_set),
    )


def boot_time(stat: str) -> float:
    """When the host started, of /proc/stat; 0 where it does not say."""
    for line in stat.splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def parse_interfaces(text: str) -> list[InterfaceCounters]:
    """Read /proc/PID/net/dev."""
    found = []
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        words = rest.split()
        if not colon or len(words) < 16 or name.strip() in _INTERFACES_LEFT_OUT:
            continue
        numbers = [int(word) for word in words]
        found.append(
            InterfaceCounters(
                name=name.strip(),
                received_bytes=numbers[_RECEIVED_BYTES],
                received_errors=numbers[_RECEIVED_ERRORS],
                sent_bytes=numbers[_SENT_BYTES],
                sent_errors=numbers[_SENT_ERRORS],
            )
        )
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
