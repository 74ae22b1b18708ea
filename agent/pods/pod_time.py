"""The deadlines of one Pod on a clock that does not jump, whatever the machine's does (NTP, a resumed machine, a user).

The API's times are of the wall clock: each is placed on the steady clock when it is first seen, and stays there.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from control.api.clock import SteadyClock
from control.api.objects import ReadOnlyObject
from control.api.timestamps import parse_time


class PodTime:
    """What a worker must remember to measure time with."""

    def __init__(self, clock: SteadyClock) -> None:
        self._clock = clock
        self._seen = clock.now()
        self._stop_seen: datetime | None = None
        self._steps: dict[str, timedelta] = {}
        self._active_since: datetime | None = None

    def now(self) -> datetime:
        """The steady time, on which all deadlines are."""
        return self._clock.now()

    def stop_seen(self) -> datetime:
        """When it was first asked for: the Pod must stop."""
        self._stop_seen = self._stop_seen or self._clock.now()
        return self._stop_seen

    def wall_step(self, pod: ReadOnlyObject) -> timedelta:
        """How far the wall clock had jumped when the Pod's deletionTimestamp was first seen."""
        return self._steps.setdefault(pod["metadata"].get("deletionTimestamp") or "", self._clock.step())

    def active_seconds_left(self, pod: ReadOnlyObject) -> float | None:
        """What is left of `activeDeadlineSeconds`; None without a limit. It counts from the Pod's start time."""
        limit, started = pod["spec"].get("activeDeadlineSeconds"), (pod.get("status") or {}).get("startTime")
        if limit is None:
            return None
        if started:
            self._active_since = self._active_since or self._clock.place(parse_time(started))
        return float(limit) - (self._clock.now() - (self._active_since or self._seen)).total_seconds()
