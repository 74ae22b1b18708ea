"""The kubelet's exponential back-off for restarts: none for the first, then 10 s, doubled up to 300 s. Pure.

The delay that follows a container's end is written on the container when it is made, so it survives the agent. A
container that lived for more than twice the maximum (10 minutes) is healthy: its end counts as the first again.
Upstream: k8s.io/client-go/util/flowcontrol/backoff.go, and crashLoopBackOff.maxContainerRestartPeriod (v1.36).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agent.pods.observed import ObservedContainer

FIRST_SECONDS = 10.0
MAXIMUM_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartBackoff:
    """The limits of the delays, in seconds."""

    first_seconds: float = FIRST_SECONDS
    maximum_seconds: float = MAXIMUM_SECONDS

    @classmethod
    def with_maximum(cls, seconds: float) -> RestartBackoff:
        """Limits with another maximum; a maximum below the first delay is the first delay too."""
        return cls(first_seconds=min(FIRST_SECONDS, seconds), maximum_seconds=seconds)

    def delay_seconds(self, exited: ObservedContainer) -> float:
        """The delay between the end of a container and its next start."""
        lived_seconds = (exited.finished_at - exited.record.created_at).total_seconds()
        return 0.0 if lived_seconds > 2 * self.maximum_seconds else min(exited.backoff_seconds, self.maximum_seconds)

    def remaining_seconds(self, exited: ObservedContainer, now: datetime) -> float:
        """What is left of that delay; `now` is of the clock that `ended_at` is of."""
        ended_at = exited.ended_at or exited.finished_at
        return max(0.0, self.delay_seconds(exited) - (now - ended_at).total_seconds())

    def next_delay_seconds(self, newest: ObservedContainer | None) -> float:
        """The delay to write on the attempt that follows `newest`."""
        if newest is None:
            return 0.0
        if not newest.is_exited:
            return newest.backoff_seconds
        delay = self.delay_seconds(newest)
        return min(2 * delay, self.maximum_seconds) if delay else self.first_seconds
