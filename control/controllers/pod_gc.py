"""Pod garbage: Pods no kubelet will ever finish. Those of a node that is gone, and doomed ones never bound to a node.

A node is believed gone only after it has been missing for a while: a Pod may be seen before its node.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from control.api.builtin_kinds import NODES, PODS
from control.api.clock import Clock
from control.api.meta import is_deleting, object_key, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_terminal, node_name_of
from control.client.controller import Controller, Watch
from control.client.view import View
from control.client.writes import Delete, Patch, Result, Step
from control.controllers.context import ControllerContext, RecordingController, Runnable
from control.controllers.disruption_target import mark_disrupted
from control.controllers.pods_by_node import BY_NODE, index_pods_by_node


def make_pod_garbage_collector(context: ControllerContext) -> Runnable:
    """Make the controller."""
    index_pods_by_node(context.informers)
    collector = PodGarbageCollector(context.clock, quarantine_seconds=context.options.missing_node_seconds)
    watches = (Watch(kind=PODS, keys=_keys_of_pod), Watch(kind=NODES, keys=_keys_of_node))
    controller = Controller(name="podgc", watches=watches, reconcile=collector.reconcile)
    return RecordingController(controller, context, "pod-garbage-collector")


class PodGarbageCollector:
    """The decision. It remembers (monotonic) since when each Pod's node has been missing."""

    def __init__(self, clock: Clock, *, quarantine_seconds: float) -> None:
        self._clock = clock
        self._quarantine_seconds = quarantine_seconds
        self._missing_since: dict[str, float] = {}

    def reconcile(self, key: str, view: View, now: datetime) -> Result:
        """Decide whether one Pod is garbage."""
        pod = view.find_key(PODS, key)
        if pod is None:
            self._missing_since.pop(key, None)
            return Result()
        node_name = node_name_of(pod)
        if not node_name:
            return Result(steps=[_remove(pod, "it was deleted before it had a node")] if is_deleting(pod) else [])
        if view.find(NODES, node_name) is not None:
            self._missing_since.pop(key, None)
            return Result()
        seconds = self._clock.monotonic()
        missing = seconds - self._missing_since.setdefault(key, seconds)
        if missing < self._quarantine_seconds:
            return Result(requeue_after=self._quarantine_seconds - missing)
        steps: list[Step] = [] if is_terminal(pod) else [_fail(pod, now)]
        return Result(steps=[*steps, _remove(pod, "its node no longer exists")])


def _fail(pod: ReadOnlyObject, now: datetime) -> Patch:
    told = "PodGC: node no longer exists"
    cause = "its node no longer exists"
    return mark_disrupted(pod, now, reason="DeletionByPodGC", message=told, cause=cause, phase="Failed")


def _remove(pod: ReadOnlyObject, cause: str) -> Delete:
    return Delete(
        kind=PODS,
        namespace=pod["metadata"]["namespace"],
        name=pod["metadata"]["name"],
        uid=uid_of(pod),
        grace_period_seconds=0,
        cause=cause,
    )


def _keys_of_pod(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    return (object_key(new or old or {}),)


def _keys_of_node(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    name = (new or old or {})["metadata"]["name"]
    if old is not None and new is not None:
        return ()
    return [object_key(pod) for pod in view.store(PODS).by_index(BY_NODE, name)]
