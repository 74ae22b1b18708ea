"""What an agent is told about eviction, and what it does when it is told nothing."""

from __future__ import annotations

from dataclasses import dataclass

from agent.node.eviction.thresholds import Threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionSettings:
    """The kubelet's eviction flags. Without thresholds there is never pressure."""

    thresholds: tuple[Threshold, ...] = ()
    transition_seconds: float = 300.0
    max_pod_grace_seconds: int = 0
    interval_seconds: float = 10.0


NO_EVICTION = EvictionSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionDefaults:
    """A profile's flags where none are given."""

    hard: str
    transition: str


# The upstream profile has the kubelet's own (pkg/kubelet/eviction/defaults_linux.go, v1.36). The default profile is
# for a machine that others use as well: what is left of it in parts says nothing (8 % of a large disk is plenty), so
# it only acts when what is left is about to fail everybody's next write, fork or allocation.
DEFAULTS = {
    "default": EvictionDefaults(
        hard="memory.available<100Mi,nodefs.available<512Mi,imagefs.available<512Mi,"
        "nodefs.inodesFree<10k,imagefs.inodesFree<10k,pid.available<500",
        transition="30s",
    ),
    "upstream": EvictionDefaults(
        hard="memory.available<100Mi,nodefs.available<10%,imagefs.available<15%,"
        "nodefs.inodesFree<5%,imagefs.inodesFree<5%",
        transition="5m",
    ),
}
