"""The scheduling queue: Pods ready to be tried, Pods backing off, and Pods that wait for something to change.

A Pod that found no node waits until an event happens that one of the plugins that refused it is interested in; then it
is tried again, not before its back-off ends unless nothing else is waiting. The queue reads no clock: every method is
told the time.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from control.scheduler.framework import ClusterEvent, Interest, PreEnqueuePlugin
from control.scheduler.prepared import PreparedPod

BACKOFF_SECONDS_FIRST = 1.0
BACKOFF_SECONDS_MAX = 10.0
#: a Pod is tried again after this long even if no event helped
WAITING_SECONDS_MAX = 300.0
#: how often the waiting Pods are looked through for those
FLUSH_SECONDS = 30.0


class Place(Enum):
    """Where a Pod of the queue is."""

    ACTIVE = "active"
    BACKOFF = "backoff"
    WAITING = "waiting"
    GATED = "gated"
    IN_FLIGHT = "in flight"


@dataclass(slots=True, eq=False)
class QueuedPod:
    """A Pod in the queue. `attempts` and `errors` count what failed; `ready_at` is when its back-off ends."""

    pod: PreparedPod
    place: Place
    sequence: int
    attempts: int = 0
    errors: int = 0
    refused_by: frozenset[str] = frozenset()
    since: float = 0.0
    ready_at: float = 0.0
    entry: int = field(default=0)


class SchedulingQueue:
    """Orders Pods by priority, then by arrival."""

    def __init__(self, interests: Mapping[str, Sequence[Interest]], gates: Sequence[PreEnqueuePlugin] = ()) -> None:
        self._interests = interests
        self._gates = gates
        self._pods: dict[str, QueuedPod] = {}
        self._waiting: dict[str, QueuedPod] = {}
        self._next_flush = 0.0
        self._active: list[tuple[int, int, int, str]] = []
        self._backoff: list[tuple[float, int, str]] = []
        self._sequence = 0
        self._entries = 0

    def __len__(self) -> int:
        return len(self._pods)

    def find(self, uid: str) -> QueuedPod | None:
        """Return a Pod of the queue, or None."""
        return self._pods.get(uid)

    def counts(self) -> dict[Place, int]:
        """How many Pods are where."""
        counts = dict.fromkeys(Place, 0)
        for queued in self._pods.values():
            counts[queued.place] += 1
        return counts

    def add(self, pod: PreparedPod, now: float) -> None:
        """Add a new Pod, or one that is known with its present state."""
        queued = self._pods.get(pod.uid)
        if queued is not None:
            queued.pod = pod
            return
        self._sequence += 1
        queued = QueuedPod(pod, Place.IN_FLIGHT, self._sequence, since=now)
        self._pods[pod.uid] = queued
        self._activate(queued, now)

    def update(self, pod: PreparedPod, now: float) -> None:
        """A waiting Pod was changed by somebody: try it again, or gate it."""
        queued = self._pods.get(pod.uid)
        if queued is None:
            self.add(pod, now)
            return
        queued.pod = pod
        if queued.place in (Place.WAITING, Place.GATED):
            self._activate(queued, now)
        elif queued.place is Place.ACTIVE:
            self._push_active(queued)

    def remove(self, uid: str) -> None:
        """Forget a Pod: bound, deleted or finished."""
        self._pods.pop(uid, None)
        self._waiting.pop(uid, None)

    def pop(self, now: float) -> QueuedPod | None:
        """Take the Pod to try next; it is in flight until `put_back` or `remove`."""
        self._release(now)
        queued = self._pop_active() or self._pop_backing_off()
        if queued is not None:
            queued.place = Place.IN_FLIGHT
            queued.attempts += 1
        return queued

    def put_back(self, queued: QueuedPod, refused_by: frozenset[str], now: float) -> None:
        """Let a Pod wait that found no node. Without a refusing plugin it was an error: back off and try again."""
        if self._pods.get(queued.pod.uid) is not queued:
            return
        queued.refused_by = refused_by
        queued.since = now
        queued.errors = 0 if refused_by else queued.errors + 1
        queued.ready_at = now + _backoff_seconds(queued.attempts)
        if refused_by:
            queued.place = Place.WAITING
            self._waiting[queued.pod.uid] = queued
        else:
            self._push_backoff(queued)

    def on_event(self, event: ClusterEvent, now: float) -> int:
        """Bring back the waiting Pods the event may help; returns how many."""
        moved = [queued for queued in self._waiting.values() if self._helps(queued, event)]
        for queued in moved:
            self._retry(queued, now)
        return len(moved)

    def next_wake(self, now: float) -> float | None:
        """Seconds until there may be something to take without a further event; None if only an event helps."""
        times = [self._backoff[0][0]] if self._backoff else []
        if self._waiting:
            times.append(max(self._next_flush, now + 1.0))
        return max(0.0, min(times) - now) if times else None

    def _helps(self, queued: QueuedPod, event: ClusterEvent) -> bool:
        return any(
            interest.is_met_by(queued.pod, event)
            for plugin in queued.refused_by
            for interest in self._interests.get(plugin, ())
        )

    def _retry(self, queued: QueuedPod, now: float) -> None:
        if queued.ready_at > now:
            self._push_backoff(queued)
        else:
            self._push_active(queued)

    def _activate(self, queued: QueuedPod, now: float) -> None:
        if any(plugin.pre_enqueue(queued.pod) is not None for plugin in self._gates):
            queued.place = Place.GATED
            self._waiting.pop(queued.pod.uid, None)
        else:
            self._retry(queued, now)

    def _release(self, now: float) -> None:
        """Move what has backed off or waited long enough."""
        while self._backoff and self._backoff[0][0] <= now:
            queued = self._live(heapq.heappop(self._backoff))
            if queued is not None:
                self._push_active(queued)
        if self._waiting and now >= self._next_flush:
            self._next_flush = now + FLUSH_SECONDS
            for queued in [item for item in self._waiting.values() if now - item.since >= WAITING_SECONDS_MAX]:
                self._push_active(queued)

    def _pop_active(self) -> QueuedPod | None:
        while self._active:
            _, _, entry, uid = heapq.heappop(self._active)
            queued = self._pods.get(uid)
            if queued is not None and queued.place is Place.ACTIVE and queued.entry == entry:
                return queued
        return None

    def _pop_backing_off(self) -> QueuedPod | None:
        """With nothing else to do a Pod need not wait its back-off out, unless it failed with an error."""
        kept: list[tuple[float, int, str]] = []
        found = None
        while self._backoff and found is None:
            item = heapq.heappop(self._backoff)
            queued = self._live(item)
            if queued is None:
                continue
            if queued.errors:
                kept.append(item)
            else:
                found = queued
        for item in kept:
            heapq.heappush(self._backoff, item)
        return found

    def _live(self, item: tuple[float, int, str]) -> QueuedPod | None:
        queued = self._pods.get(item[2])
        return queued if queued is not None and queued.place is Place.BACKOFF and queued.entry == item[1] else None

    def _push_active(self, queued: QueuedPod) -> None:
        queued.place = Place.ACTIVE
        self._waiting.pop(queued.pod.uid, None)
        self._entries += 1
        queued.entry = self._entries
        heapq.heappush(self._active, (-queued.pod.priority, queued.sequence, queued.entry, queued.pod.uid))

    def _push_backoff(self, queued: QueuedPod) -> None:
        queued.place = Place.BACKOFF
        self._waiting.pop(queued.pod.uid, None)
        self._entries += 1
        queued.entry = self._entries
        heapq.heappush(self._backoff, (queued.ready_at, queued.entry, queued.pod.uid))


def _backoff_seconds(attempts: int) -> float:
    return min(BACKOFF_SECONDS_FIRST * 2.0 ** min(max(attempts - 1, 0), 16), BACKOFF_SECONDS_MAX)
