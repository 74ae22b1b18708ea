"""The ReplicaSet controller, and by the same machine the ReplicationController's: as many Pods as spec.replicas says.

Pods are adopted by selector and owned by controller reference. Too few: create in slow start. Too many: delete the
least useful. The two kinds differ in the form of their selector and in who speaks in Events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from control.api.builtin_kinds import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from control.api.kinds import Kind
from control.api.meta import controller_of, find_condition, is_deleting, labels_of, object_key, set_condition, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import conditions_of, is_active, is_pod_available, is_pod_ready, is_terminal
from control.api.selectors import LabelSelector, selector_from_labels, selector_from_object
from control.api.timestamps import parse_time
from control.client.controller import Controller, Watch
from control.client.view import View
from control.client.writes import Batch, Create, Failure, Result, Step, Update
from control.controllers.ownership import claim_objects, controller_key
from control.controllers.pod_ranking import choose_pods_to_delete
from control.controllers.pod_template import create_pods, delete_pod
from control.controllers.scale import replicas_of

#: Pods created or deleted in one turn at most.
BURST_MAX = 500


def _replication_selector(obj: ReadOnlyObject) -> LabelSelector:
    return selector_from_labels(obj["spec"].get("selector"))


def _set_selector(obj: ReadOnlyObject) -> LabelSelector:
    return selector_from_object(obj["spec"].get("selector"))


@dataclass(frozen=True, slots=True)
class ReplicaKeeper:
    """The machine for one kind of owner."""

    kind: Kind
    selector_of: Callable[[ReadOnlyObject], LabelSelector]
    counts_terminating: bool

    def reconcile(self, key: str, view: View, now: datetime) -> Result:
        """Decide creations or deletions of Pods, and the status."""
        owner = view.find_key(self.kind, key)
        if owner is None:
            return Result()
        selector = self.selector_of(owner)
        if selector.is_empty:
            return Result()
        claim = claim_objects(owner, PODS, selector, view)
        patches = [patch for patch in claim.patches if not _is_finished(view, patch.namespace, patch.name)]
        if patches:
            return Result(steps=[Batch(writes=patches)])
        pods = [pod for pod in claim.objects if is_active(pod)]
        steps: list[Step] = [] if is_deleting(owner) else self._scale(owner, pods, view, now)
        status = self._compute_status(owner, claim.objects, pods, is_scaling=bool(steps), now=now)
        if status != owner.get("status"):
            steps = [*steps, self._status_update(owner, status)]
        return Result(steps=steps, requeue_after=_seconds_to_availability(owner, pods, now))

    def on_failure(self, key: str, view: View, now: datetime, failures: Sequence[Failure]) -> Result:
        """Say in the status that Pods cannot be created or deleted."""
        owner = view.find_key(self.kind, key)
        failed = failures[0]
        if owner is None or failed.write.kind is not PODS:
            return Result()
        status = dict(owner.get("status") or {"replicas": 0})
        conditions = list(status.get("conditions") or ())
        condition = {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate" if isinstance(failed.write, Create) else "FailedDelete",
            "message": str(failed.error),
        }
        known = find_condition(conditions, "ReplicaFailure")
        if known is not None and all(known.get(name) == condition[name] for name in ("status", "reason")):
            return Result()
        set_condition(conditions, condition, now)
        status["conditions"] = conditions
        status["observedGeneration"] = owner["metadata"].get("generation", 0)
        return Result(steps=[self._status_update(owner, status)])

    def _scale(self, owner: Object, pods: list[Object], view: View, now: datetime) -> list[Step]:
        wanted = replicas_of(owner)
        if len(pods) < wanted:
            count = min(wanted - len(pods), BURST_MAX)
            return [create_pods(owner, owner["spec"]["template"], count, f"{len(pods)} of {wanted} Pods exist")]
        if len(pods) > wanted:
            count = min(len(pods) - wanted, BURST_MAX)
            doomed = choose_pods_to_delete(pods, self._related_pods(owner, pods, view), count, now)
            cause = f"{len(pods)} Pods exist, {wanted} are wanted"
            return [Batch(writes=[delete_pod(owner, pod, cause) for pod in doomed])]
        return []

    def _related_pods(self, owner: Object, pods: list[Object], view: View) -> Iterable[Object]:
        """Pods of all owners that have this owner's controller: those of a Deployment's other ReplicaSets."""
        reference = controller_of(owner)
        if reference is None:
            return pods
        siblings = view.owned_by(self.kind, reference["uid"])
        return [pod for sibling in siblings for pod in view.owned_by(PODS, uid_of(sibling))]

    def _compute_status(
        self, owner: Object, claimed: list[Object], pods: list[Object], *, is_scaling: bool, now: datetime
    ) -> Object:
        """`pods` are the active ones of those claimed."""
        template_labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
        min_ready_seconds = owner["spec"].get("minReadySeconds") or 0
        ready = [pod for pod in pods if is_pod_ready(pod)]
        counts = {
            "fullyLabeledReplicas": sum(template_labels.items() <= labels_of(pod).items() for pod in pods),
            "readyReplicas": len(ready),
            "availableReplicas": sum(is_pod_available(pod, min_ready_seconds, now) for pod in ready),
            "observedGeneration": owner["metadata"].get("generation", 0),
        }
        status: Object = {"replicas": len(pods), **{name: count for name, count in counts.items() if count}}
        if self.counts_terminating:
            status["terminatingReplicas"] = sum(is_deleting(pod) and not is_terminal(pod) for pod in claimed)
        conditions = (owner.get("status") or {}).get("conditions") or []
        if not is_scaling:
            conditions = [condition for condition in conditions if condition["type"] != "ReplicaFailure"]
        if conditions:
            status["conditions"] = conditions
        return status

    def _status_update(self, owner: Object, status: Object) -> Update:
        return Update(
            kind=self.kind, obj={**owner, "status": status}, subresource="status", cause="the state of its Pods changed"
        )

    def keys_of_owner(self, old: Object | None, new: Object | None, view: View) -> Iterable[str]:
        """The owner's own key."""
        return (object_key(new or old or {}),)

    def keys_of_pod(self, old: Object | None, new: Object | None, view: View) -> Iterable[str]:
        """Keys a Pod's change concerns: its owner before and after, or all that may adopt it."""
        keys = {controller_key(pod, self.kind) for pod in (old, new) if pod is not None} - {None}
        if new is not None and controller_of(new) is None and not is_deleting(new):
            labels = labels_of(new)
            keys |= {
                object_key(owner)
                for owner in view.list(self.kind, new["metadata"]["namespace"])
                if not (selector := self.selector_of(owner)).is_empty and selector.matches(labels)
            }
        return [key for key in keys if key is not None]


def _is_finished(view: View, namespace: str | None, name: str) -> bool:
    """A Pod that ran to its end is not worth adopting."""
    pod = view.find(PODS, name, namespace)
    return pod is None or is_terminal(pod)


def _seconds_to_availability(owner: ReadOnlyObject, pods: Iterable[Object], now: datetime) -> float | None:
    """Seconds until the next ready Pod has been ready for minReadySeconds; no event will tell."""
    min_ready_seconds = owner["spec"].get("minReadySeconds") or 0
    if not min_ready_seconds:
        return None
    waits = []
    for pod in pods:
        condition = find_condition(conditions_of(pod), "Ready")
        if condition is not None and condition["status"] == "True" and condition.get("lastTransitionTime"):
            due = parse_time(condition["lastTransitionTime"]) + timedelta(seconds=min_ready_seconds)
            if due > now:
                waits.append((due - now).total_seconds())
    return min(waits, default=None)


def changes_only_counts(old: Object | None, new: Object | None) -> bool:
    """Whether a Pod counts as before as one of its owner's: what changed is how ready it is."""
    if old is None or new is None or is_active(old) != is_active(new):
        return False
    before, after = old["metadata"], new["metadata"]
    return all(before.get(field) == after.get(field) for field in ("labels", "ownerReferences", "deletionTimestamp"))


def _keeps_spec(old: Object | None, new: Object | None) -> bool:
    """Whether an owner wants what it wanted: its status alone has changed."""
    if old is None or new is None:
        return False
    return bool(old["metadata"].get("generation") == new["metadata"].get("generation"))


def _make_controller(name: str, keeper: ReplicaKeeper) -> Controller:
    return Controller(
        name=name,
        watches=(
            Watch(kind=keeper.kind, keys=keeper.keys_of_owner, may_wait=_keeps_spec),
            Watch(kind=PODS, keys=keeper.keys_of_pod, may_wait=changes_only_counts),
        ),
        reconcile=keeper.reconcile,
        on_failure=keeper.on_failure,
    )


REPLICA_SET_KEEPER = ReplicaKeeper(REPLICA_SETS, _set_selector, counts_terminating=True)
REPLICATION_KEEPER = ReplicaKeeper(REPLICATION_CONTROLLERS, _replication_selector, counts_terminating=False)

REPLICA_SET = _make_controller("replicaset", REPLICA_SET_KEEPER)
REPLICATION = _make_controller("replication", REPLICATION_KEEPER)
