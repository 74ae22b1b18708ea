"""Durations in Go's notation (`1m20s`, `153ms`), as they stand in upstream's messages. Pure."""

from __future__ import annotations


def format_duration(seconds: float) -> str:
    """`10s`, `1m20s`, `5m0s`, `1.5s`, `153ms`; finer parts than a millisecond are cut."""
    millis = int(seconds * 1000)
    if millis < 1000:
        return f"{millis}ms" if millis else "0s"
    hours, rest = divmod(millis, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
