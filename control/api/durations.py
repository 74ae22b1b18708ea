"""Durations as Go writes them, which is how Kubernetes' flags are given: `15s`, `1m30s`, `1.5h`, `500ms`. Pure."""

from __future__ import annotations

import re

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|ns)", re.ASCII)


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
