"""Taint eviction: a Pod leaves a node with a NoExecute taint that it does not tolerate, or no longer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from control.api.builtin_kinds import NODES, PODS
from control.api.clock import Clock
from control.api.meta import is_deleting, object_key, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import node_name_of
from control.api.taints import NO_EXECUTE, Taint, taints_of, tolerates, tolerations_of
from control.client.controller import Controller, Watch
from control.client.view import View
from control.client.writes import Delete, Notice, Patch, Result
from control.controllers.context import ControllerContext, RecordingController, Runnable
from control.controllers.disruption_target import mark_disrupted
from control.controllers.pods_by_node import BY_NODE, index_pods_by_node


def tolerated_seconds(pod: ReadOnlyObject, taints: Sequence[Taint]) -> float | None:
    """How long a Pod may stay under these NoExecute taints: None for ever, 0 not at all."""
    shortest: float | None = None
    for taint in taints:
        matching = [item for item in tolerations_of(pod) if tolerates(item, taint)]
        if not matching:
            return 0.0
        for toleration in matching:
            seconds = toleration.get("tolerationSeconds")
            if seconds is not None:
                shortest = max(0.0, seconds) if shortest is None else min(shortest, max(0.0, seconds))
    return shortest


def make_taint_eviction(context: ControllerContext) -> Runnable:
    """Make the controller."""
    index_pods_by_node(context.informers)
    reconcile = TaintEviction(context.clock).reconcile
    watches = (Watch(kind=PODS, keys=_keys_of_pod), Watch(kind=NODES, keys=_keys_of_node))
    controller = Controller(name="taint-eviction", watches=watches, reconcile=reconcile, workers=8)
    return RecordingController(controller, context, "node-controller", "taint-eviction-controller")


class TaintEviction:
    """The decision. It remembers (monotonic) since when each Pod has been under a NoExecute taint."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    def reconcile(self, key: str, view: View, now: datetime) -> Result:
        """Decide whether one Pod has to leave its node, or when."""
        pod = view.find_key(PODS, key)
        if pod is None or is_deleting(pod):
            self._since.pop(key, None)
            return Result()
        node = view.find(NODES, node_name_of(pod))
        taints = [taint for taint in taints_of(node) if taint.get("effect") == NO_EXECUTE] if node is not None else []
        seconds = tolerated_seconds(pod, taints)
        if not taints or seconds is None:
            return self._cancel(key, pod)
        elapsed = self._clock.monotonic()
        waited = elapsed - self._since.setdefault(key, elapsed)
        if waited < seconds:
            return Result(requeue_after=seconds - waited)
        return Result(steps=_evict(pod, now))

    def _cancel(self, key: str, pod: ReadOnlyObject) -> Result:
        if self._since.pop(key, None) is None:
            return Result()
        return Result(steps=[_notice(pod, f"Cancelling deletion of Pod {key}")])


def _evict(pod: ReadOnlyObject, now: datetime) -> list[Notice | Patch | Delete]:
    metadata = pod["metadata"]
    cause = "its node has a NoExecute taint that it does not tolerate"
    told = "Taint manager: deleting due to NoExecute taint"
    patch = mark_disrupted(pod, now, reason="DeletionByTaintManager", message=told, cause=cause)
    delete = Delete(kind=PODS, namespace=metadata["namespace"], name=metadata["name"], uid=uid_of(pod), cause=cause)
    return [_notice(pod, f"Marking for deletion Pod {object_key(pod)}"), patch, delete]


def _notice(pod: ReadOnlyObject, message: str) -> Notice:
    """Upstream's eviction Events name the Pod without its uid."""
    regarding = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"]},
    }
    return Notice(regarding=regarding, reason="TaintManagerEviction", message=message)


def _keys_of_pod(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    pod = new or old or {}
    return (object_key(pod),) if node_name_of(pod) else ()


def _keys_of_node(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    if new is None or (old is not None and taints_of(old) == taints_of(new)):
        return ()
    return [object_key(pod) for pod in view.store(PODS).by_index(BY_NODE, new["metadata"]["name"])]
