"""What the whole host has used so far: processor time, memory, network. Reads only, of cgroup v1 and v2 alike.

Read when somebody asks for the node's usage, never at an interval.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from agent.cgroups.tree import CGROUP_ROOT
from agent.node.host_memory import MemoryUse, read_memory
from agent.usage.pressure import RESOURCES, Pressures, parse_pressures

_INTERFACES_LEFT_OUT = ("lo",)
#: the columns of /proc/net/dev: bytes, packets, errors, dropped packets
_RECEIVED, _SENT = slice(0, 4), slice(8, 12)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceCounters:
    """What went through one network interface since it came up."""

    name: str
    received_bytes: int
    received_packets: int
    received_errors: int
    received_dropped: int
    sent_bytes: int
    sent_packets: int
    sent_errors: int
    sent_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCounters:
    """Totals since the host started. `started_at` is its start, in seconds since the epoch.

    `pressures` are None where cgroups do not have them either, as with v1.
    """

    cpu_nanoseconds: int = 0
    memory: MemoryUse = field(default_factory=MemoryUse)
    started_at: float = 0.0
    interfaces: tuple[InterfaceCounters, ...] = ()
    pressures: Pressures | None = None


def read_host_counters() -> HostCounters:
    """Read them all."""
    stat = _read(Path("/proc/stat"))
    return HostCounters(
        cpu_nanoseconds=cpu_nanoseconds(stat, os.sysconf("SC_CLK_TCK")),
        memory=read_memory(),
        started_at=boot_time(stat),
        interfaces=tuple(read_interfaces(1)),
        pressures=read_pressures(),
    )


def read_pressures(directory: Path = Path("/proc/pressure"), cgroups: Path = CGROUP_ROOT) -> Pressures | None:
    """The host's, where its cgroups are of v2."""
    if not (cgroups / "cgroup.controllers").exists():
        return None
    return parse_pressures({name: _read(directory / name) for name in RESOURCES})


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
        received, sent = map(int, words[_RECEIVED]), map(int, words[_SENT])
        received_bytes, received_packets, received_errors, received_dropped = received
        sent_bytes, sent_packets, sent_errors, sent_dropped = sent
        found.append(
            InterfaceCounters(
                name=name.strip(),
                received_bytes=received_bytes,
                received_packets=received_packets,
                received_errors=received_errors,
                received_dropped=received_dropped,
                sent_bytes=sent_bytes,
                sent_packets=sent_packets,
                sent_errors=sent_errors,
                sent_dropped=sent_dropped,
            )
        )
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
