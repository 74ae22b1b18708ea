"""The flags of an agent about what its Pods may have of the machine: reservations and eviction, named as the kubelet's.

Called by `agent/main.py` alone.
"""

from __future__ import annotations

import argparse

from agent.node.eviction.settings import DEFAULTS, EvictionSettings
from agent.node.eviction.thresholds import parse_thresholds
from agent.node.reservations import Reservations, parse_reserved
from control.api.durations import parse_duration

RESERVED_FORM = "cpu=200m,memory=500Mi,ephemeral-storage=1Gi"


def add_resource_flags(run: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    run.add_argument("--max-pods", type=int, default=110, help="how many Pods the node takes")
    run.add_argument("--kube-reserved", default="", metavar=RESERVED_FORM, help="kept for Podling and Docker")
    run.add_argument("--system-reserved", default="", metavar=RESERVED_FORM, help="kept for everything else")
    run.add_argument("--eviction-hard", metavar="memory.available<100Mi", help="thresholds that evict at once")
    run.add_argument("--eviction-soft", default="", metavar="memory.available<1Gi", help="thresholds that evict later")
    run.add_argument("--eviction-soft-grace-period", default="", metavar="memory.available=30s", help="how much later")
    run.add_argument("--eviction-minimum-reclaim", default="", metavar="nodefs.available=1Gi")
    run.add_argument("--eviction-pressure-transition-period", metavar="5m", help="how long a pressure is told at least")
    run.add_argument("--eviction-max-pod-grace-period", type=int, default=0, metavar="SECONDS")


def read_reservations(options: argparse.Namespace) -> Reservations:
    """What the flags reserve. Raises ReservationError."""
    return Reservations(kube=parse_reserved(options.kube_reserved), system=parse_reserved(options.system_reserved))


def read_eviction(options: argparse.Namespace) -> EvictionSettings:
    """What the flags say about eviction and, where they say nothing, the profile. Raises ValueError."""
    defaults = DEFAULTS[options.profile]
    transition = options.eviction_pressure_transition_period
    return EvictionSettings(
        thresholds=parse_thresholds(
            defaults.hard if options.eviction_hard is None else options.eviction_hard,
            options.eviction_soft,
            options.eviction_soft_grace_period,
            options.eviction_minimum_reclaim,
        ),
        transition_seconds=parse_duration(defaults.transition if transition is None else transition),
        max_pod_grace_seconds=options.eviction_max_pod_grace_period,
    )
