"""Pods that were to be evicted, and were not: their condition DisruptionTarget is taken back after two minutes."""

from __future__ import annotations

from datetime import datetime, timedelta

from control.api.builtin_kinds import PODS
from control.api.meta import find_condition, is_deleting
from control.api.objects import ReadOnlyObject
from control.api.pods import conditions_of, is_terminal
from control.api.timestamps import parse_time
from control.client.controller import Controller, Watch, present_key
from control.client.view import View
from control.client.writes import Result
from control.controllers.disruption_target import DISRUPTION_TARGET, mark_spared

STALE_AFTER = timedelta(minutes=2)
#: The node's own: the end of such a Pod may take long, and needs no deletion.
_OF_THE_NODE = "TerminationByKubelet"


def reconcile(key: str, view: View, now: datetime) -> Result:
    """Decide whether the condition of one Pod is stale."""
    pod = view.find_key(PODS, key)
    since = _marked_since(pod) if pod is not None else None
    if pod is None or since is None:
        return Result()
    remaining = (since + STALE_AFTER - now).total_seconds()
    if remaining > 0:
        return Result(requeue_after=remaining)
    return Result(steps=[mark_spared(pod, now, cause="it was to be disrupted and was not")])


def _marked_since(pod: ReadOnlyObject) -> datetime | None:
    """Since when a Pod that shows no sign of ending is marked."""
    if is_deleting(pod) or is_terminal(pod):
        return None
    condition = find_condition(conditions_of(pod), DISRUPTION_TARGET)
    if condition is None or condition.get("status") != "True" or condition.get("reason") == _OF_THE_NODE:
        return None
    return parse_time(str(condition["lastTransitionTime"]))


STALE_TARGETS = Controller(
    name="stale-pod-disruption", watches=(Watch(kind=PODS, keys=present_key),), reconcile=reconcile
)
