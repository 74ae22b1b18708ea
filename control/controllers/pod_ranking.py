"""Which Pods to give up first when there are too many: upstream's order, so that scaling down hurts least."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cmp_to_key
from typing import Any

from control.api.meta import annotations_of, find_condition, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import conditions_of, is_active, is_pod_ready, node_name_of, phase_of
from control.api.timestamps import parse_time

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_ORDER = {"Pending": 0, "Unknown": 1, "Running": 2}


def choose_pods_to_delete(
    pods: Sequence[Object], related: Iterable[ReadOnlyObject], count: int, now: datetime
) -> list[Object]:
    """Choose `count` of `pods`. `related` are all Pods of the same application: crowded nodes give first."""
    if count >= len(pods):
        return list(pods)
    crowd = Counter(node_name_of(pod) for pod in related if is_active(pod))

    def compare(one: Object, other: Object) -> int:
        return _compare(one, other, crowd, now)

    return sorted(pods, key=cmp_to_key(compare))[:count]


def _compare(one: Object, other: Object, crowd: Counter[str], now: datetime) -> int:
    """Negative if `one` goes first. Rules in order; the first that tells the two apart decides."""
    one_ready, other_ready = is_pod_ready(one), is_pod_ready(other)
    plain = (
        (bool(node_name_of(one)), bool(node_name_of(other))),
        (_PHASE_ORDER.get(phase_of(one), 0), _PHASE_ORDER.get(phase_of(other), 0)),
        (one_ready, other_ready),
        (_deletion_cost(one), _deletion_cost(other)),
        (-crowd[node_name_of(one)], -crowd[node_name_of(other)]),
    )
    for left, right in plain:
        if left != right:
            return -1 if left < right else 1
    if one_ready and (by_ready := _compare_ages(_ready_since(one), _ready_since(other), one, other, now)):
        return by_ready
    restarts, other_restarts = _restarts(one), _restarts(other)
    if restarts != other_restarts:
        return -1 if restarts > other_restarts else 1
    created, other_created = (pod["metadata"].get("creationTimestamp") or "" for pod in (one, other))
    return _compare_ages(created, other_created, one, other, now)


def _compare_ages(since: str, other_since: str, one: Object, other: Object, now: datetime) -> int:
    """The younger goes first, but ages of the same power of two count as equal: then the uid decides, which is chance.

    So a scaling down takes neither all of the newest generation nor, again and again, the same node's Pods.
    """
    if since == other_since:
        return 0
    if not since or not other_since:
        return -1 if not since else 1
    rank, other_rank = _age_rank(since, now), _age_rank(other_since, now)
    if rank != other_rank:
        return -1 if rank < other_rank else 1
    return -1 if uid_of(one) < uid_of(other) else 1


def _age_rank(since: str, now: datetime) -> int:
    seconds = (now - parse_time(since)).total_seconds()
    return int(math.log2(seconds * 1e9)) if seconds > 0 else -1


def _ready_since(pod: ReadOnlyObject) -> str:
    condition: Any = find_condition(conditions_of(pod), "Ready") or {}
    return str(condition.get("lastTransitionTime") or "")


def _deletion_cost(pod: ReadOnlyObject) -> int:
    try:
        return int(annotations_of(pod).get(DELETION_COST, "0"))
    except ValueError:
        return 0


def _restarts(pod: ReadOnlyObject) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((int(status.get("restartCount") or 0) for status in statuses), default=0)
