"""How long tasks waited for processors, memory and disks: the kernel's PSI (Documentation/accounting/psi.rst). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

RESOURCES = ("cpu", "memory", "io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Percent of the last 10, 60 and 300 seconds, and all time so far in microseconds."""

    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """Time in which some tasks waited, and in which all did."""

    some: Stall = Stall()
    full: Stall = Stall()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressures:
    """Of a cgroup, or of the host."""

    cpu: Pressure = Pressure()
    memory: Pressure = Pressure()
    io: Pressure = Pressure()


def parse_pressures(texts: Mapping[str, str]) -> Pressures | None:
    """Read the files of `RESOURCES`; None where the kernel does not measure, which leaves them empty."""
    if not all(texts.values()):
        return None
    return Pressures(**{name: parse_pressure(text) for name, text in texts.items()})


def parse_pressure(text: str) -> Pressure:
    """Read a file of the kernel's; older ones have no `full` for processors."""
    lines = {words[0]: dict(word.split("=", 1) for word in words[1:]) for words in map(str.split, text.splitlines())}
    return Pressure(some=_stall(lines.get("some", {})), full=_stall(lines.get("full", {})))


def _stall(values: dict[str, str]) -> Stall:
    return Stall(
        avg10=float(values.get("avg10", 0)),
        avg60=float(values.get("avg60", 0)),
        avg300=float(values.get("avg300", 0)),
        total=int(values.get("total", 0)),
    )
