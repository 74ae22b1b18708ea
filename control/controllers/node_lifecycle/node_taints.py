"""Which taints a node's conditions call for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from control.api.objects import Object, ReadOnlyObject
from control.api.taints import NO_EXECUTE, NO_SCHEDULE, Taint, taints_of
from control.api.timestamps import format_time
from control.controllers.node_lifecycle.health import ready_status

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

_BY_CONDITION: Mapping[tuple[str, str], str] = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_MANAGED = {(key, NO_SCHEDULE) for key in (*_BY_CONDITION.values(), UNSCHEDULABLE)} | {
    (NOT_READY, NO_EXECUTE),
    (UNREACHABLE, NO_EXECUTE),
}


def compute_taints(node: ReadOnlyObject, *, may_evict: bool, now: datetime) -> list[Object] | None:
    """Return the taints the node should have, None if it has them. Taints of others stay.

    `may_evict` is False while every node is down: then nobody could take the Pods, and more likely we are cut off.
    """
    wanted = _wanted(node, may_evict=may_evict)
    kept: list[Object] = []
    for taint in taints_of(node):
        identity = _identity(taint)
        if identity in wanted:
            wanted.remove(identity)
        elif identity in _MANAGED:
            continue
        kept.append(dict(taint))
    if not wanted and len(kept) == len(taints_of(node)):
        return None
    stamp = format_time(now)
    return kept + [{"key": key, "effect": effect, "timeAdded": stamp} for key, effect in wanted]


def _wanted(node: ReadOnlyObject, *, may_evict: bool) -> list[tuple[str, str]]:
    conditions: Sequence[Mapping[str, Any]] = (node.get("status") or {}).get("conditions") or ()
    wanted = [
        (key, NO_SCHEDULE)
        for condition in conditions
        if (key := _BY_CONDITION.get((condition["type"], condition.get("status", ""))))
    ]
    if (node.get("spec") or {}).get("unschedulable"):
        wanted.append((UNSCHEDULABLE, NO_SCHEDULE))
    if may_evict and (key := _BY_CONDITION.get(("Ready", ready_status(node)))):
        wanted.append((key, NO_EXECUTE))
    return wanted


def _identity(taint: Taint) -> tuple[str, str]:
    return (str(taint["key"]), str(taint["effect"]))
