"""Timestamps on the wire: metav1.Time (seconds) and metav1.MicroTime (microseconds), RFC 3339 in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))\Z", re.ASCII
)


def format_time(moment: datetime) -> str:
    """Write whole seconds, fractions cut off: `2026-01-01T00:00:00Z`."""
    return moment.astimezone(UTC).isoformat()[:19] + "Z"


def format_micro_time(moment: datetime) -> str:
    """Write six digits of the second: `2026-01-01T00:00:00.000000Z`."""
    return f"{format_time(moment)[:-1]}.{moment.microsecond:06d}Z"


def parse_time(text: str) -> datetime:
    """Read RFC 3339 with any fraction and offset into timezone-aware UTC. Raises ValueError."""
    match = _RFC3339.match(text)
    if match is None:
        raise ValueError(f"cannot parse {text!r} as an RFC 3339 time")
    year, month, day, hour, minute, second = (int(match[index]) for index in range(1, 7))
    microsecond = int(((match[7] or "") + "000000")[:6])
    zone: timezone = UTC
    if match[9]:
        offset = timedelta(hours=int(match[10]), minutes=int(match[11]))
        zone = timezone(-offset if match[9] == "-" else offset)
    return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=zone).astimezone(UTC)
