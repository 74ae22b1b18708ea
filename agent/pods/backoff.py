"""The kubelet's exponential back-off for restarts: none for the first, then 10 s, doubled up to 300 s. Pure.

The delay that follows a container's end is written on the container when it is made, so it survives the agent. A
container that lived for more than twice the maximum (10 minutes) is healthy: its end counts as the first again. One
that the agent stopped in order to run it again (a failed probe) follows at once, unless it ended within the delay that
follows the end before; one with another image than before starts afresh.
Upstream: doBackOff (pkg/kubelet/kuberuntime/kuberuntime_manager.go), k8s.io/client-go/util/flowcontrol/backoff.go, and
crashLoopBackOff.maxContainerRestartPeriod (v1.36).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agent.pods.observed import ObservedContainer

FIRST_SECONDS = 10.0
MAXIMUM_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPast:
    """The newest attempt of a container and the one before it, as far as they exist.

    `was_stopped` says that the newest was stopped in order to run again, `has_changed` that the next has another image.
    """

    newest: ObservedContainer | None = None
    before: ObservedContainer | None = None
    was_stopped: bool = False
    has_changed: bool = False

    @property
    def last_end(self) -> ObservedContainer | None:
        """The last attempt that ended by itself, or whose end is no news any more."""
        if self.newest is not None and self.newest.is_exited and not self.was_stopped:
            return self.newest
        return self.before if self.before is not None and self.before.is_exited else None


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

    def remaining_seconds(self, past: RestartPast, now: datetime) -> float:
        """What is left of the delay after the newest attempt; `now` is of the clock that `ended_at` is of."""
        newest, last_end = past.newest, past.last_end
        if newest is None or last_end is None or past.has_changed:
            return 0.0
        delay = self.delay_seconds(newest)
        ended_at = _end(newest)
        if past.was_stopped and (ended_at - _end(last_end)).total_seconds() >= delay:
            return 0.0
        return max(0.0, delay - (now - ended_at).total_seconds())

    def next_delay_seconds(self, past: RestartPast) -> float:
        """The delay to write on the attempt that follows."""
        newest = past.newest
        if newest is None or (past.has_changed and past.last_end is None):
            return 0.0
        if past.has_changed:
            return self.first_seconds
        if not newest.is_exited or past.last_end is None:
            return newest.backoff_seconds
        delay = self.delay_seconds(newest)
        return min(2 * delay, self.maximum_seconds) if delay else self.first_seconds


def _end(exited: ObservedContainer) -> datetime:
    return exited.ended_at or exited.finished_at
