"""What the probes of the node's Pods have done so far, over restarts of their containers, for `/metrics/probes`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

#: upper bounds of the buckets of durations, in seconds
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeIdentity:
    """One probe of one container; `kind` is Liveness, Readiness or Startup."""

    namespace: str
    pod: str
    pod_uid: str
    container: str
    kind: str


@dataclass(slots=True)
class ProbeCounts:
    """Tries that were carried out. Durations are of those that succeeded, the last bucket is of what took longer."""

    successes: int = 0
    failures: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))


class ProbeTally:
    """Counts by probe."""

    def __init__(self) -> None:
        self._counts: dict[ProbeIdentity, ProbeCounts] = {}

    def __iter__(self) -> Iterator[tuple[ProbeIdentity, ProbeCounts]]:
        return iter(self._counts.items())

    def add(self, probe: ProbeIdentity, *, passed: bool, seconds: float) -> None:
        """A try has ended."""
        counts = self._counts.setdefault(probe, ProbeCounts())
        if not passed:
            counts.failures += 1
            return
        counts.successes += 1
        counts.seconds += seconds
        counts.buckets[bisect_left(BUCKETS, seconds)] += 1

    def forget_pod(self, pod_uid: str) -> None:
        """The Pod is gone."""
        for probe in [probe for probe in self._counts if probe.pod_uid == pod_uid]:
            del self._counts[probe]
