"""From one look at the signals to the next: which thresholds call for eviction, and which conditions hold. Pure.

A soft threshold counts once it has been met for its grace period. One that led to eviction stays until as much as the
minimum reclaim is free beyond it. A condition is told for a transition period after it was last seen, so that it does
not flap. Rules of synchronize (pkg/kubelet/eviction/eviction_manager.go, v1.36).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.node.eviction.signals import CONDITIONS, RESOURCES, Observations
from agent.node.eviction.thresholds import Threshold, thresholds_met


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """What one look found. Times are seconds of one monotonic clock.

    `first_met` says since when each threshold has been met, `last_seen` when each condition was last seen. `due` are
    the thresholds whose grace period is over, those first whose resource is reclaimed first.
    """

    first_met: Mapping[Threshold, float] = field(default_factory=dict)
    last_seen: Mapping[str, float] = field(default_factory=dict)
    due: tuple[Threshold, ...] = ()
    conditions: frozenset[str] = frozenset()


NO_PRESSURE = Pressure()


def compute_pressure(
    before: Pressure,
    thresholds: Sequence[Threshold],
    observations: Observations,
    *,
    now: float,
    transition_seconds: float,
) -> Pressure:
    """What to hold of a node, given what was held of it before and what is observed now."""
    met = thresholds_met(thresholds, observations)
    met += [item for item in thresholds_met(before.due, observations, with_reclaim=True) if item not in met]
    first_met = {threshold: before.first_met.get(threshold, now) for threshold in met}
    last_seen = {**before.last_seen, **{CONDITIONS[threshold.signal]: now for threshold in met}}
    recent = {name: at for name, at in last_seen.items() if at == now or now - at < transition_seconds}
    due = [threshold for threshold, since in first_met.items() if now - since >= threshold.grace_seconds]
    # Memory before all other resources: it is what kills without being asked.
    due.sort(key=lambda threshold: RESOURCES[threshold.signal] != "memory")
    return Pressure(first_met=first_met, last_seen=recent, due=tuple(due), conditions=frozenset(recent))
