"""Processor time per second, from two looks at the totals. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

#: looks that are closer together say little
INTERVAL_SECONDS_MIN = 1.0


@dataclass(frozen=True, slots=True)
class CpuLook:
    """A total of nanoseconds at a time."""

    time: datetime
    nanoseconds: int


class CpuRates:
    """Nanoseconds per second by what uses them. What is looked at for the first time has none yet."""

    def __init__(self) -> None:
        self._looks: dict[str, CpuLook] = {}
        self._rates: dict[str, int] = {}

    def update(self, looks: Mapping[str, CpuLook]) -> Mapping[str, int]:
        """Take in a look at all there is, and return the rates."""
        known, self._looks = self._looks, {}
        rates, self._rates = self._rates, {}
        for name, look in looks.items():
            before = known.get(name, look)
            seconds = (look.time - before.time).total_seconds()
            if 0 < seconds < INTERVAL_SECONDS_MIN:
                look = before
            elif seconds > 0 and look.nanoseconds >= before.nanoseconds:
                rates[name] = round((look.nanoseconds - before.nanoseconds) / seconds)
            self._looks[name] = look
            if name in rates:
                self._rates[name] = rates[name]
        return dict(self._rates)
