"""What the whole host has used so far: processor time, memory, network. Reads only, of cgroup v1 and v2 alike.

Read when somebody asks for the node's usage, never at an interval.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from agent.node.host_memory import MemoryUse, read_memory

_INTERFACES_LEFT_OUT = ("lo",)
_RECEIVED_BYTES, _RECEIVED_ERRORS, _SENT_BYTES, _SENT_ERRORS = 0, 2, 8, 10


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
    memory: MemoryUse = field(default_factory=MemoryUse)
    started_at: float = 0.0
    interfaces: tuple[InterfaceCounters, ...] = ()


def read_host_counters() -> HostCounters:
    """Read them all."""
    stat = _read(Path("/proc/stat"))
    return HostCounters(
        cpu_nanoseconds=cpu_nanoseconds(stat, os.sysconf("SC_CLK_TCK")),
        memory=read_memory(),
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
