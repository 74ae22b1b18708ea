"""The arithmetic of a rollout: how many Pods there may be, and how many must stay available."""

from __future__ import annotations

from collections.abc import Iterable

from control.api.int_or_percent import scaled_value
from control.api.objects import ReadOnlyObject
from control.controllers.scale import replicas_of


def status_count(obj: ReadOnlyObject, field: str) -> int:
    """A count of a status, 0 when absent."""
    return int((obj.get("status") or {}).get(field) or 0)


def total_replicas(replica_sets: Iterable[ReadOnlyObject]) -> int:
    """Sum of spec.replicas."""
    return sum(replicas_of(item) for item in replica_sets)


def is_rolling(deployment: ReadOnlyObject) -> bool:
    """Whether the strategy is RollingUpdate, the default."""
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def max_surge(deployment: ReadOnlyObject) -> int:
    """Pods that may exist beyond spec.replicas during a rollout."""
    return _fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: ReadOnlyObject) -> int:
    """Pods that may be missing below spec.replicas during a rollout."""
    if not is_rolling(deployment) or replicas_of(deployment) == 0:
        return 0
    return min(_fenceposts(deployment)[1], replicas_of(deployment))


def _fenceposts(deployment: ReadOnlyObject) -> tuple[int, int]:
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    replicas = replicas_of(deployment)
    surge = scaled_value(rolling.get("maxSurge", "25%"), replicas, round_up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable", "25%"), replicas, round_up=False)
    # Both may round to nothing, and then a rollout could never take a step.
    return (surge, unavailable) if surge or unavailable else (0, 1)


def new_replica_set_size(deployment: ReadOnlyObject, replica_sets: Iterable[ReadOnlyObject], size: int) -> int:
    """Size the new ReplicaSet (now `size`) may have beside all others without exceeding the surge."""
    desired = replicas_of(deployment)
    if not is_rolling(deployment):
        return desired
    current_total = total_replicas(replica_sets)
    total_max = desired + max_surge(deployment)
    if current_total >= total_max:
        return size
    return size + min(total_max - current_total, desired - size)
