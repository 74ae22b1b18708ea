"""Taints and tolerations: which taint keeps which Pod away. Shared by scheduler, controllers and node admission."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from control.api.objects import ReadOnlyObject

NO_SCHEDULE = "NoSchedule"
PREFER_NO_SCHEDULE = "PreferNoSchedule"
NO_EXECUTE = "NoExecute"
#: effects that keep a Pod off a node
SCHEDULING_EFFECTS = (NO_SCHEDULE, NO_EXECUTE)

Taint = Mapping[str, Any]
Toleration = Mapping[str, Any]


def taints_of(node: ReadOnlyObject) -> Sequence[Taint]:
    """spec.taints of a node, empty when absent."""
    taints: Sequence[Taint] = (node.get("spec") or {}).get("taints") or ()
    return taints


def tolerations_of(pod: ReadOnlyObject) -> Sequence[Toleration]:
    """spec.tolerations of a Pod, empty when absent."""
    tolerations: Sequence[Toleration] = pod["spec"].get("tolerations") or ()
    return tolerations


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether a toleration covers a taint: an absent effect covers all effects, an absent key all keys."""
    effect, key = toleration.get("effect"), toleration.get("key")
    if effect and effect != taint.get("effect"):
        return False
    if key and key != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    return operator == "Equal" and (toleration.get("value") or "") == (taint.get("value") or "")


def find_untolerated_taint(
    taints: Iterable[Taint],
    tolerations: Sequence[Toleration],
    effects: Collection[str] = SCHEDULING_EFFECTS,
) -> Taint | None:
    """Return the first taint of these effects that no toleration covers, or None."""
    for taint in taints:
        if taint.get("effect") in effects and not any(tolerates(toleration, taint) for toleration in tolerations):
            return taint
    return None


def format_taint(taint: Taint) -> str:
    """`key=value:Effect`, or `key:Effect` without a value."""
    value = taint.get("value")
    return f"{taint['key']}={value}:{taint['effect']}" if value else f"{taint['key']}:{taint['effect']}"


def eviction_delay_seconds(taints: Iterable[Taint], tolerations: Sequence[Toleration]) -> float | None:
    """Seconds a Pod may stay on a node with these NoExecute taints: 0 is leave now, None is stay for good."""
    delay: float | None = None
    for taint in taints:
        if taint.get("effect") != NO_EXECUTE:
            continue
        covering = [toleration for toleration in tolerations if tolerates(toleration, taint)]
        if not covering:
            return 0.0
        for toleration in covering:
            seconds = toleration.get("tolerationSeconds")
            if seconds is not None:
                bounded = max(0.0, float(seconds))
                delay = bounded if delay is None else min(delay, bounded)
    return delay
