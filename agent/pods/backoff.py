"""The kubelet's exponential back-off for restarts: 10 s, doubled up to 300 s.

A key is forgotten once an event comes more than twice the maximum after the last one (10 minutes of health). Callers
give the time, so the same object serves the pure decision (`remaining_seconds`) and its bookkeeping (`record`).
Upstream: k8s.io/client-go/util/flowcontrol/backoff.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class _Entry:
    delay_seconds: float
    updated_at: datetime


class Backoff:
    """Delays by key."""

    def __init__(self, *, initial_seconds: float = 10.0, maximum_seconds: float = 300.0) -> None:
        self._initial_seconds = initial_seconds
        self._maximum_seconds = maximum_seconds
        self._entries: dict[str, _Entry] = {}

    def delay_seconds(self, key: str, event_at: datetime) -> float:
        """The delay that counts from `event_at`; 0 when the key is unknown or was healthy for long enough."""
        entry = self._entries.get(key)
        return 0.0 if entry is None or self._is_expired(entry, event_at) else entry.delay_seconds

    def remaining_seconds(self, key: str, event_at: datetime, now: datetime) -> float:
        """Seconds that are left of the delay after something that happened at `event_at`."""
        return max(0.0, self.delay_seconds(key, event_at) - (now - event_at).total_seconds())

    def record(self, key: str, event_at: datetime, now: datetime) -> None:
        """Note another try after the failure at `event_at`: the next delay is twice as long."""
        entry = self._entries.get(key)
        if entry is None or self._is_expired(entry, event_at):
            self._entries[key] = _Entry(self._initial_seconds, now)
            return
        entry.delay_seconds = min(entry.delay_seconds * 2, self._maximum_seconds)
        entry.updated_at = now

    def forget(self, key_prefix: str) -> None:
        """Drop every key with that prefix (a Pod that is gone)."""
        for key in [key for key in self._entries if key.startswith(key_prefix)]:
            del self._entries[key]

    def _is_expired(self, entry: _Entry, event_at: datetime) -> bool:
        return (event_at - entry.updated_at).total_seconds() > 2 * self._maximum_seconds


def restart_key(pod_uid: str, container_name: str) -> str:
    """The key of a container's restarts."""
    return f"{pod_uid}/{container_name}"
