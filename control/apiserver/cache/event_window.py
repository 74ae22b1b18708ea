"""The last events of one storage prefix, so that a watch can start in the recent past."""

from __future__ import annotations

from collections import deque

from control.api.errors import ApiError, gone
from control.apiserver.cache.watcher import CacheEvent

EVENTS_MAX = 4096
BYTES_MAX = 8 * 1024 * 1024
#: Kept however large they are.
EVENTS_MIN = 100
#: So many of the newest keep their decoded object and their line of a watch stream.
NEWS_MAX = 256


class EventWindow:
    """A bounded queue of events in revision order, complete after `start`."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._events: deque[CacheEvent] = deque()
        self._bytes = 0

    def append(self, event: CacheEvent) -> None:
        """Add the newest event, dropping the oldest ones when there is too much."""
        self._events.append(event)
        self._bytes += _size(event)
        if len(self._events) > NEWS_MAX:
            self._events[-NEWS_MAX - 1].forget_derived()
        while len(self._events) > EVENTS_MAX or (self._bytes > BYTES_MAX and len(self._events) > EVENTS_MIN):
            dropped = self._events.popleft()
            self._bytes -= _size(dropped)
            self._start = dropped.revision

    def after(self, revision: int) -> list[CacheEvent]:
        """The events after a revision, oldest first. Raises 410 Expired if some of them are gone."""
        if revision < self._start:
            oldest = self._events[0].revision - 1 if self._events else self._start
            raise too_old(revision, max(oldest, self._start))
        found: list[CacheEvent] = []
        for event in reversed(self._events):
            if event.revision <= revision:
                break
            found.append(event)
        found.reverse()
        return found


def _size(event: CacheEvent) -> int:
    return len(event.cached.encoded) if event.cached else 0


def too_old(requested: int, available: int) -> ApiError:
    """410 of a watch that starts before what is kept."""
    return gone(f"too old resource version: {requested} ({available})")
