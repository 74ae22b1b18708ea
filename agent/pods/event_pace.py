"""How often a failure that goes on is told: at intervals that double, as the kubelet's own tries do.

Upstream: pkg/util/goroutinemap/exponentialbackoff (v1.36). We may try more often, but nobody wants to read of it more
often.
"""

from __future__ import annotations

SECONDS_FIRST = 0.5
SECONDS_MAX = 122.0


class EventPace:
    """The failures of one Pod that were told, by their messages."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, float]] = {}

    def is_due(self, message: str, now: float) -> bool:
        """Whether a failure is to be told now (monotonic seconds); the caller then does."""
        due, seconds = self._told.get(message, (now, SECONDS_FIRST))
        if now < due:
            return False
        self._told[message] = (now + seconds, min(seconds * 2, SECONDS_MAX))
        return True

    def clear(self) -> None:
        """All is well again."""
        self._told.clear()
