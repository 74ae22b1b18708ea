"""Is a node alive? Pure: heartbeats in, conditions out.

Silence is counted on the monotonic clock from when this process first saw the last heartbeat: neither a clock that
jumps nor a controller that was away makes a node look dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from control.api.meta import find_condition
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time

#: A node that never reported gets this long (upstream's node-startup-grace-period).
STARTUP_GRACE_SECONDS = 60.0
_MONITORED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The newest sign of life of a node and when (monotonic seconds) it was first seen."""

    sign: tuple[Any, ...]
    seconds: float


def note_heartbeat(
    known: Heartbeat | None, node: ReadOnlyObject, lease: ReadOnlyObject | None, seconds: float
) -> Heartbeat:
    """Return the known heartbeat, or a new one if the node's Lease or Ready condition moved."""
    ready = ready_condition(node) or {}
    renewed = (lease.get("spec") or {}).get("renewTime") if lease is not None else None
    # A condition this controller set to Unknown keeps the node's heartbeat time, so it is no sign of life.
    sign = (node["metadata"]["uid"], renewed, ready.get("lastHeartbeatTime"))
    return known if known is not None and known.sign == sign else Heartbeat(sign, seconds)


def ready_condition(node: ReadOnlyObject) -> Mapping[str, Any] | None:
    """The Ready condition of a node, or None."""
    return find_condition((node.get("status") or {}).get("conditions"), "Ready")


def ready_status(node: ReadOnlyObject) -> str:
    """Status of the Ready condition; empty if the node never reported one."""
    return str((ready_condition(node) or {}).get("status") or "")


def is_silent(heartbeat: Heartbeat, node: ReadOnlyObject, seconds: float, grace_seconds: float) -> bool:
    """Whether the node has been silent for longer than its grace."""
    grace = grace_seconds if ready_condition(node) is not None else max(grace_seconds, STARTUP_GRACE_SECONDS)
    return seconds - heartbeat.seconds > grace


def unknown_conditions(node: ReadOnlyObject, now: datetime) -> list[Object]:
    """The conditions of a silent node that have to change to Unknown; empty when all have."""
    stamp = format_time(now)
    changed: list[Object] = []
    conditions = (node.get("status") or {}).get("conditions")
    for name in _MONITORED:
        current = find_condition(conditions, name)
        if current is None:
            changed.append(
                {
                    "type": name,
                    "status": "Unknown",
                    "lastHeartbeatTime": node["metadata"].get("creationTimestamp"),
                    "lastTransitionTime": stamp,
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                }
            )
        elif current.get("status") != "Unknown":
            changed.append(
                {
                    **current,
                    "status": "Unknown",
                    "lastTransitionTime": stamp,
                    "reason": "NodeStatusUnknown",
                    "message": "Kubelet stopped posting node status.",
                }
            )
    return changed
