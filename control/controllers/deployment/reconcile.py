"""One turn of a Deployment: observe its ReplicaSets, decide the next step of the rollout, state the status.

A turn plans at most one kind of change (adopt, annotate, create, grow, shrink, clean up); the runtime shows its effect
before the next turn. So every step is judged on what is, never on what was hoped for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from control.api.builtin_kinds import DEPLOYMENTS, PODS, REPLICA_SETS
from control.api.errors import ApiError
from control.api.meta import annotations_of, controller_of, find_condition, is_controlled_by, is_deleting
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_terminal
from control.api.selectors import selector_from_object
from control.client.view import View
from control.client.writes import Batch, Create, Delete, Failure, Notice, Result, Step, Update
from control.controllers.deployment.bounds import is_rolling, status_count
from control.controllers.deployment.replica_sets import (
    REVISION,
    ReplicaSets,
    create_new,
    find_replica_sets,
    integer_annotation,
    next_revision,
    update_new,
)
from control.controllers.deployment.scaling import (
    grow_new,
    is_scaling,
    scale_proportionally,
    shrink_old,
    shrink_old_to_zero,
)
from control.controllers.deployment.status import (
    PAUSED_REASON,
    TIMED_OUT_REASON,
    compute_counts,
    compute_rollout_status,
    conditions_of,
    has_progress_deadline,
    is_complete,
    make_condition,
    stuck_check_seconds,
    with_condition,
)
from control.controllers.deployment.template_hash import is_same_template
from control.controllers.ownership import claim_objects
from control.controllers.scale import replicas_of


def reconcile(key: str, view: View, now: datetime) -> Result:
    """Decide the next step of one Deployment."""
    deployment = view.find_key(DEPLOYMENTS, key)
    if deployment is None:
        return Result()
    selector = selector_from_object(deployment["spec"].get("selector"))
    if selector.is_empty:
        return _refuse_empty_selector(deployment)
    claim = claim_objects(deployment, REPLICA_SETS, selector, view)
    if claim.patches:
        return Result(steps=[Batch(writes=claim.patches)])
    sets = find_replica_sets(deployment, claim.objects)
    if is_deleting(deployment):
        return _with_status(deployment, [], compute_counts(deployment, sets, conditions_of(deployment), now))
    if (paused := _pause_condition(deployment, now)) is not None:
        conditions = with_condition(conditions_of(deployment), paused)
        return _with_status(deployment, [], {**(deployment.get("status") or {}), "conditions": conditions})
    if deployment["spec"].get("paused") or is_scaling(deployment, sets):
        return _scale_only(deployment, sets, now)
    if is_rolling(deployment):
        return _roll(deployment, sets, now)
    return _recreate(deployment, sets, view, now)


def on_failure(key: str, view: View, now: datetime, failures: Sequence[Failure]) -> Result:
    """A ReplicaSet that cannot be created: step around a name collision, or say so in the status."""
    deployment = view.find_key(DEPLOYMENTS, key)
    failed = failures[0]
    if deployment is None or not isinstance(failed.write, Create) or not isinstance(failed.error, ApiError):
        return Result()
    name = failed.write.obj["metadata"]["name"]
    status: Object = dict(deployment.get("status") or {})
    if failed.error.reason == "AlreadyExists":
        present = view.find(REPLICA_SETS, name, deployment["metadata"]["namespace"])
        if present is None or _is_own(deployment, present):
            return Result()  # ours, or not yet visible: the next turn finds it
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        return _with_status(deployment, [], status)
    message = f'Failed to create new replica set "{name}": {failed.error}'
    notice = Notice(regarding=deployment, type="Warning", reason="ReplicaSetCreateError", message=message)
    if not has_progress_deadline(deployment):
        return Result(steps=[notice])
    condition = make_condition("Progressing", "False", "ReplicaSetCreateError", message, now)
    status["conditions"] = with_condition(conditions_of(deployment), condition)
    return _with_status(deployment, [notice], status)


def _is_own(deployment: ReadOnlyObject, replica_set: ReadOnlyObject) -> bool:
    return is_controlled_by(replica_set, deployment) and is_same_template(
        replica_set["spec"]["template"], deployment["spec"]["template"]
    )


def _refuse_empty_selector(deployment: Object) -> Result:
    notice = Notice(
        regarding=deployment,
        type="Warning",
        reason="SelectingAll",
        message="This deployment is selecting all pods. A non-empty selector is required.",
    )
    status = {**(deployment.get("status") or {}), "observedGeneration": deployment["metadata"].get("generation", 0)}
    return _with_status(deployment, [notice], status)


def _pause_condition(deployment: ReadOnlyObject, now: datetime) -> Object | None:
    """The Progressing condition that a pause or its end has to leave behind, if it is not there."""
    if not has_progress_deadline(deployment):
        return None
    current = find_condition(conditions_of(deployment), "Progressing")
    reason = current.get("reason") if current is not None else ""
    if reason == TIMED_OUT_REASON:
        return None
    is_paused = bool(deployment["spec"].get("paused"))
    if is_paused and reason != PAUSED_REASON:
        return make_condition("Progressing", "Unknown", PAUSED_REASON, "Deployment is paused", now)
    if not is_paused and reason == PAUSED_REASON:
        return make_condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now)
    return None


def _scale_only(deployment: Object, sets: ReplicaSets, now: datetime) -> Result:
    """A paused Deployment, or one whose size changed: sizes follow, the template does not."""
    if (update := update_new(deployment, sets)) is not None:
        return Result(steps=[update])
    steps = scale_proportionally(deployment, sets)
    if not steps and deployment["spec"].get("paused"):
        steps = _clean_up(deployment, sets)
    annotated, conditions = _note_revision(deployment, sets, now)
    return _with_status(annotated, steps, compute_counts(annotated, sets, conditions, now), deployment)


def _roll(deployment: Object, sets: ReplicaSets, now: datetime) -> Result:
    if (update := update_new(deployment, sets)) is not None:
        return Result(steps=[update])
    if sets.new is None:
        return _create(deployment, sets, now)
    steps = grow_new(deployment, sets) or shrink_old(deployment, sets)
    return _finish_turn(deployment, sets, steps, now)


def _recreate(deployment: Object, sets: ReplicaSets, view: View, now: datetime) -> Result:
    if (update := update_new(deployment, sets)) is not None:
        return Result(steps=[update])
    steps = shrink_old_to_zero(deployment, sets, "the strategy is Recreate")
    if steps or _has_old_pods(sets, view):
        return _finish_turn(deployment, sets, steps, now)
    if sets.new is None:
        return _create(deployment, sets, now)
    return _finish_turn(deployment, sets, grow_new(deployment, sets), now)


def _has_old_pods(sets: ReplicaSets, view: View) -> bool:
    for replica_set in sets.old:
        if status_count(replica_set, "replicas") > 0:
            return True
        if any(not is_terminal(pod) for pod in view.owned_by(PODS, replica_set["metadata"]["uid"])):
            return True
    return False


def _create(deployment: Object, sets: ReplicaSets, now: datetime) -> Result:
    create = create_new(deployment, sets)
    conditions = conditions_of(deployment)
    if has_progress_deadline(deployment):
        message = f'Created new replica set "{create.obj["metadata"]["name"]}"'
        created = make_condition("Progressing", "True", "NewReplicaSetCreated", message, now)
        conditions = with_condition(conditions, created)
    annotated = _with_revision(deployment, create.obj["metadata"]["annotations"][REVISION])
    # The status already counts what is being created, so that its conditions name it.
    status = compute_rollout_status(annotated, ReplicaSets(dict(create.obj), sets.old), conditions, now)
    return _with_status(annotated, [create], status, deployment)


def _finish_turn(deployment: Object, sets: ReplicaSets, steps: list[Step], now: datetime) -> Result:
    annotated, conditions = _note_revision(deployment, sets, now)
    if not steps and is_complete(deployment, deployment.get("status") or {}):
        steps = _clean_up(deployment, sets)
    status = compute_rollout_status(annotated, sets, conditions, now)
    result = _with_status(annotated, steps, status, deployment)
    return Result(steps=result.steps, requeue_after=stuck_check_seconds(deployment, status, now))


def _note_revision(deployment: Object, sets: ReplicaSets, now: datetime) -> tuple[Object, list[Object]]:
    """The Deployment with its new ReplicaSet's revision, and its conditions with a Progressing one to begin with."""
    conditions = conditions_of(deployment)
    if sets.new is None:
        return deployment, conditions
    if has_progress_deadline(deployment) and find_condition(conditions, "Progressing") is None:
        message = f'Found new replica set "{sets.new["metadata"]["name"]}"'
        found = make_condition("Progressing", "True", "FoundNewReplicaSet", message, now)
        conditions = with_condition(conditions, found)
    revision = annotations_of(sets.new).get(REVISION) or str(next_revision(sets.old))
    return _with_revision(deployment, revision), conditions


def _with_revision(deployment: Object, revision: str) -> Object:
    if annotations_of(deployment).get(REVISION) == revision:
        return deployment
    annotations = {**annotations_of(deployment), REVISION: revision}
    return {**deployment, "metadata": {**deployment["metadata"], "annotations": annotations}}


def _clean_up(deployment: ReadOnlyObject, sets: ReplicaSets) -> list[Step]:
    """Delete the oldest revisions beyond revisionHistoryLimit; a ReplicaSet with Pods is never one of them."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None:
        return []
    alive = [item for item in sets.old if not is_deleting(item)]
    by_revision = sorted(alive, key=lambda item: integer_annotation(item, REVISION) or 0)
    deletions: list[Step] = []
    for item in by_revision[: max(0, len(alive) - limit)]:
        is_observed = item["metadata"].get("generation", 0) <= status_count(item, "observedGeneration")
        if status_count(item, "replicas") or replicas_of(item) or not is_observed:
            continue
        deletions.append(
            Delete(
                kind=REPLICA_SETS,
                namespace=item["metadata"]["namespace"],
                name=item["metadata"]["name"],
                uid=item["metadata"]["uid"],
                propagation="Background",
                cause=f"more than {limit} old revisions are kept",
            )
        )
    return deletions


def _with_status(
    deployment: Object, steps: Sequence[Step], status: Object, observed: ReadOnlyObject | None = None
) -> Result:
    """Append a status write if status or revision differ from what is stored."""
    observed = deployment if observed is None else observed
    if status == (observed.get("status") or {}) and deployment["metadata"] == observed["metadata"]:
        return Result(steps=steps)
    write = Update(
        kind=DEPLOYMENTS,
        obj={**deployment, "status": status},
        subresource="status",
        cause="the state of its ReplicaSets changed",
    )
    return Result(steps=[*steps, write])


def deployment_keys_of_replica_set(replica_set: ReadOnlyObject, view: View) -> list[str]:
    """Keys a ReplicaSet's change concerns: its Deployment, or those that may adopt it."""
    reference = controller_of(replica_set)
    namespace = replica_set["metadata"]["namespace"]
    if reference is not None:
        return [f"{namespace}/{reference['name']}"] if reference["kind"] == DEPLOYMENTS.kind else []
    labels = replica_set["metadata"].get("labels") or {}
    return [
        f"{namespace}/{item['metadata']['name']}"
        for item in view.list(DEPLOYMENTS, namespace)
        if selector_from_object(item["spec"].get("selector")).matches(labels)
    ]
