"""The status of a PodDisruptionBudget: how many of its Pods may be evicted now.

The eviction subresource takes from `disruptionsAllowed` and notes the Pod in `disruptedPods`, where it counts as gone
until it is, or for two minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from control.api.builtin_kinds import POD_DISRUPTION_BUDGETS, PODS
from control.api.int_or_percent import scaled_value
from control.api.meta import controller_of, is_deleting, labels_of, name_of, namespace_of, object_key, set_condition
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_pod_ready
from control.api.selectors import selector_from_object
from control.api.timestamps import parse_time
from control.client.controller import Controller, Watch, present_key
from control.client.view import View
from control.client.writes import Notice, Result, Step, Update
from control.controllers.disruption.expected_scale import (
    SCALED_KINDS,
    UnknownScaleError,
    expected_scale,
)

#: How long a Pod whose eviction was granted counts as gone though it is still there.
DELETION_TIMEOUT = timedelta(minutes=2)
_CONDITION = "DisruptionAllowed"


class Expectation(NamedTuple):
    """How many Pods there should be, and how many of them healthy."""

    total: int
    healthy: int


def reconcile(key: str, view: View, now: datetime) -> Result:
    """Decide what the status of one budget says."""
    budget = view.find_key(POD_DISRUPTION_BUDGETS, key)
    if budget is None:
        return Result()
    pods = pods_of(budget, view)
    steps: list[Step] = []
    if not pods:
        steps.append(Notice(regarding=budget, reason="NoPods", message="No matching pods found"))
    try:
        expected = _expect(budget, pods, view)
    except UnknownScaleError as error:
        text = f"Failed to calculate the number of expected pods: {error}"
        steps.append(Notice(regarding=budget, type="Warning", reason="CalculateExpectedPodCountFailed", message=text))
        return Result(steps=[*steps, *_write(budget, _failed_status(budget, str(error), now), "it cannot be counted")])
    if not isinstance(budget["spec"].get("minAvailable"), int) and any(controller_of(pod) is None for pod in pods):
        steps.append(_unmanaged_notice(budget))
    disrupted, overdue, recheck = _disrupted(budget, pods, now)
    steps += [
        Notice(
            regarding=pod,
            type="Warning",
            reason="NotDeleted",
            message=f"Pod was expected by PDB {namespace_of(budget)}/{name_of(budget)} to be deleted but it wasn't",
        )
        for pod in overdue
    ]
    healthy = sum(1 for pod in pods if is_pod_ready(pod) and not is_deleting(pod) and name_of(pod) not in disrupted)
    status = _status(budget, expected, healthy, disrupted, now)
    return Result(steps=[*steps, *_write(budget, status, "its Pods changed")], requeue_after=recheck)


def pods_of(budget: ReadOnlyObject, view: View) -> list[Object]:
    """The Pods that a budget selects, finished ones included."""
    selector = selector_from_object(budget["spec"].get("selector"))
    return [pod for pod in view.list(PODS, namespace_of(budget)) if selector.matches(labels_of(pod))]


def _expect(budget: ReadOnlyObject, pods: Sequence[ReadOnlyObject], view: View) -> Expectation:
    spec = budget["spec"]
    unavailable, available = spec.get("maxUnavailable"), spec.get("minAvailable")
    if unavailable is not None:
        count = expected_scale(pods, view)
        return Expectation(count, max(0, count - scaled_value(unavailable, count, round_up=True)))
    if isinstance(available, str):
        count = expected_scale(pods, view)
        return Expectation(count, scaled_value(available, count, round_up=True))
    # A budget without a bound expects nothing, and so allows nothing.
    return Expectation(0, 0) if available is None else Expectation(len(pods), available)


def _disrupted(
    budget: ReadOnlyObject, pods: Iterable[ReadOnlyObject], now: datetime
) -> tuple[dict[str, str], list[ReadOnlyObject], float | None]:
    """Granted evictions that are still to come (by Pod, since when), those that are overdue, seconds to the next."""
    granted: Mapping[str, str] = (budget.get("status") or {}).get("disruptedPods") or {}
    coming: dict[str, str] = {}
    overdue: list[ReadOnlyObject] = []
    waits: list[float] = []
    for pod in pods:
        since = granted.get(name_of(pod))
        if since is None or is_deleting(pod):
            continue
        remaining = (parse_time(since) + DELETION_TIMEOUT - now).total_seconds()
        if remaining < 0:
            overdue.append(pod)
            continue
        coming[name_of(pod)] = since
        waits.append(remaining)
    return coming, overdue, min(waits, default=None)


def _status(
    budget: ReadOnlyObject, expected: Expectation, healthy: int, disrupted: Mapping[str, str], now: datetime
) -> Object:
    # Nothing is allowed while no Pod is expected: the first ones may come before they are counted.
    allowed = max(0, healthy - expected.healthy) if expected.total > 0 else 0
    generation = budget["metadata"].get("generation", 0)
    status: Object = {
        "observedGeneration": generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": expected.healthy,
        "expectedPods": expected.total,
    }
    if disrupted:
        status["disruptedPods"] = dict(disrupted)
    condition = {
        "type": _CONDITION,
        "status": "True" if allowed else "False",
        "observedGeneration": generation,
        "reason": "SufficientPods" if allowed else "InsufficientPods",
        "message": "",
    }
    return {**status, "conditions": _with_condition(budget, condition, now)}


def _failed_status(budget: ReadOnlyObject, error: str, now: datetime) -> Object:
    """Fail safe: what cannot be counted allows nothing."""
    status = dict(budget.get("status") or {})
    condition = {
        "type": _CONDITION,
        "status": "False",
        "observedGeneration": status.get("observedGeneration", 0),
        "reason": "SyncFailed",
        "message": error,
    }
    return {**status, "disruptionsAllowed": 0, "conditions": _with_condition(budget, condition, now)}


def _with_condition(budget: ReadOnlyObject, condition: Object, now: datetime) -> list[Object]:
    conditions = [*((budget.get("status") or {}).get("conditions") or ())]
    set_condition(conditions, condition, now)
    return conditions


def _write(budget: ReadOnlyObject, status: Object, cause: str) -> list[Step]:
    if status == budget.get("status"):
        return []
    return [Update(kind=POD_DISRUPTION_BUDGETS, obj={**budget, "status": status}, subresource="status", cause=cause)]


def _unmanaged_notice(budget: ReadOnlyObject) -> Notice:
    selector = selector_from_object(budget["spec"].get("selector"))
    text = (
        f"Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the"
        " status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for"
        ' these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
    )
    return Notice(regarding=budget, type="Warning", reason="UnmanagedPods", message=text)


def _keys_of_pod(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    """The budgets that select a Pod as it is or as it was."""
    states = [pod for pod in (old, new) if pod is not None]
    for budget in view.list(POD_DISRUPTION_BUDGETS, namespace_of(states[0])):
        selector = selector_from_object(budget["spec"].get("selector"))
        if any(selector.matches(labels_of(pod)) for pod in states):
            yield object_key(budget)


BUDGETS = Controller(
    name="disruption",
    watches=(Watch(kind=POD_DISRUPTION_BUDGETS, keys=present_key), Watch(kind=PODS, keys=_keys_of_pod)),
    reads=SCALED_KINDS,
    reconcile=reconcile,
)
