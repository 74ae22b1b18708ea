"""How ReplicaSets change size: the steps of a rolling update, of Recreate, and proportional scaling in between.

All functions are pure; each returns the writes of one turn, and an empty list when there is nothing to do.
"""

from __future__ import annotations

from control.api.objects import Object, ReadOnlyObject
from control.client.writes import Step
from control.controllers.deployment.bounds import (
    is_rolling,
    max_surge,
    max_unavailable,
    new_replica_set_size,
    status_count,
    total_replicas,
)
from control.controllers.deployment.replica_sets import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    ReplicaSets,
    active,
    age_key,
    integer_annotation,
    scale,
)
from control.controllers.scale import replicas_of


def grow_new(deployment: ReadOnlyObject, sets: ReplicaSets) -> list[Step]:
    """Bring the new ReplicaSet as close to the wanted size as the surge allows."""
    new = sets.new
    if new is None or replicas_of(new) == replicas_of(deployment):
        return []
    if replicas_of(new) > replicas_of(deployment):
        size = replicas_of(deployment)
    else:
        size = new_replica_set_size(deployment, sets.all, replicas_of(new))
    if size == replicas_of(new):
        return []
    return scale(deployment, new, [size], f"the new ReplicaSet may have {size} Pods")


def shrink_old(deployment: ReadOnlyObject, sets: ReplicaSets) -> list[Step]:
    """Take from the old ReplicaSets what availability can spare: Pods that are not available first."""
    old = active(sets.old)
    new = sets.new
    if not old or new is None:
        return []
    available_min = replicas_of(deployment) - max_unavailable(deployment)
    new_unavailable = replicas_of(new) - status_count(new, "availableReplicas")
    spare = total_replicas(sets.all) - available_min - new_unavailable
    if spare <= 0:
        return []
    sizes = {item["metadata"]["name"]: [replicas_of(item)] for item in old}
    for item in old:
        size = sizes[item["metadata"]["name"]]
        unhealthy = min(spare, size[-1] - status_count(item, "availableReplicas"))
        if unhealthy > 0:
            size.append(size[-1] - unhealthy)
            spare -= unhealthy
    available = sum(status_count(item, "availableReplicas") for item in sets.all)
    spare = available - available_min
    for item in old:
        size = sizes[item["metadata"]["name"]]
        taken = min(size[-1], spare)
        if taken > 0:
            size.append(size[-1] - taken)
            spare -= taken
    return _scale_each(deployment, old, sizes, "availability can spare Pods of old ReplicaSets")


def shrink_old_to_zero(deployment: ReadOnlyObject, sets: ReplicaSets, cause: str) -> list[Step]:
    """Take all Pods from the old ReplicaSets."""
    old = active(sets.old)
    return _scale_each(deployment, old, {item["metadata"]["name"]: [0] for item in old}, cause)


def is_scaling(deployment: ReadOnlyObject, sets: ReplicaSets) -> bool:
    """Whether spec.replicas changed since the ReplicaSets were last given sizes."""
    desired = replicas_of(deployment)
    return any(
        recorded is not None and recorded != desired
        for recorded in (integer_annotation(item, DESIRED_REPLICAS) for item in active(sets.all))
    )


def scale_proportionally(deployment: ReadOnlyObject, sets: ReplicaSets) -> list[Step]:
    """Spread a change of spec.replicas over the ReplicaSets of an unfinished rollout, in proportion to their sizes."""
    single = _active_or_latest(sets)
    if single is not None:
        if replicas_of(single) == replicas_of(deployment):
            return []
        return scale(deployment, single, [replicas_of(deployment)], "spec.replicas changed")
    if _is_saturated(deployment, sets.new):
        return shrink_old_to_zero(deployment, sets, "the new ReplicaSet has all Pods")
    if not is_rolling(deployment):
        return []
    members = active(sets.all)
    desired = replicas_of(deployment)
    limit = desired + max_surge(deployment) if desired > 0 else 0
    to_add = limit - total_replicas(members)
    ordered = _by_size(members, newer_first=to_add > 0)
    sizes = _proportional_sizes(deployment, ordered, to_add)
    return _scale_each(deployment, ordered, sizes, "spec.replicas changed during a rollout")


def _proportional_sizes(deployment: ReadOnlyObject, ordered: list[Object], to_add: int) -> dict[str, list[int]]:
    added = 0
    sizes: dict[str, list[int]] = {}
    for item in ordered:
        share = _proportion(deployment, item, to_add, added) if to_add else 0
        sizes[item["metadata"]["name"]] = [replicas_of(item) + share]
        added += share
    if ordered and to_add:
        first = sizes[ordered[0]["metadata"]["name"]]
        first[0] = max(0, first[0] + to_add - added)
    return sizes


def _proportion(deployment: ReadOnlyObject, item: ReadOnlyObject, to_add: int, added: int) -> int:
    if to_add == added:
        return 0
    fraction = _fraction(deployment, item)
    return min(fraction, to_add - added) if to_add > 0 else max(fraction, to_add - added)


def _fraction(deployment: ReadOnlyObject, item: ReadOnlyObject) -> int:
    size = replicas_of(item)
    if replicas_of(deployment) == 0:
        return -size
    limit_before = integer_annotation(item, MAX_REPLICAS) or status_count(deployment, "replicas")
    if limit_before == 0:
        return 0
    limit = replicas_of(deployment) + max_surge(deployment)
    # Half away from zero, as Go rounds.
    return int(size * limit / limit_before + 0.5) - size


def _active_or_latest(sets: ReplicaSets) -> Object | None:
    members = active(sets.all)
    if len(members) == 1:
        return members[0]
    if members or not sets.all:
        return None
    return sets.new if sets.new is not None else sets.old[-1]


def _is_saturated(deployment: ReadOnlyObject, new: ReadOnlyObject | None) -> bool:
    desired = replicas_of(deployment)
    return new is not None and (
        replicas_of(new) == desired
        and integer_annotation(new, DESIRED_REPLICAS) == desired
        and status_count(new, "availableReplicas") == desired
    )


def _by_size(members: list[Object], *, newer_first: bool) -> list[Object]:
    by_age = sorted(members, key=age_key, reverse=newer_first)
    return sorted(by_age, key=replicas_of, reverse=True)


def _scale_each(
    deployment: ReadOnlyObject, members: list[Object], sizes: dict[str, list[int]], cause: str
) -> list[Step]:
    steps: list[Step] = []
    for item in members:
        steps.extend(scale(deployment, item, sizes[item["metadata"]["name"]], cause))
    return steps
