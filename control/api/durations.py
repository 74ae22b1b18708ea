"""Durations as Go writes them, which is how Kubernetes' flags are given: `15s`, `1m30s`, `1.5h`, `500ms`. Pure."""

from __future__ import annotations

import re

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|ns)", re.ASCII)


def format_duration(seconds: float) -> str:
    """Write a duration that is not negative: 90.5 is `1m30.5s`, 0.25 is `250ms`."""
    nanos = round(seconds * 1e9)
    if nanos < 10**9:
        for unit, size in (("ms", 10**6), ("µs", 10**3), ("ns", 1)):
            if nanos >= size:
                return f"{_decimal(nanos, size)}{unit}"
        return "0s"
    minutes, nanos = divmod(nanos, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    shown = f"{_decimal(nanos, 10**9)}s"
    if hours:
        return f"{hours}h{minutes}m{shown}"
    return f"{minutes}m{shown}" if minutes else shown


def _decimal(number: int, unit: int) -> str:
    """A number of units with as many decimals as it needs."""
    whole, rest = divmod(number, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0") if rest else str(whole)


def parse_duration(text: str) -> float:
    """Seconds of a duration that is not negative. Raises ValueError."""
    if text == "0":
        return 0.0
    seconds, position = 0.0, 0
    while match := _PART.match(text, position):
        seconds += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not text or position != len(text):
        raise ValueError(f"{text!r} is not a duration such as 15s or 1m30s")
    return seconds
