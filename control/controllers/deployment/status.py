"""What a Deployment's status says: counts and the conditions Available, Progressing and ReplicaFailure.

Reasons and messages are upstream's: `kubectl rollout status` and `kubectl wait` read them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from control.api.meta import find_condition
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time, parse_time
from control.controllers.deployment.bounds import max_unavailable, status_count
from control.controllers.deployment.replica_sets import ReplicaSets
from control.controllers.scale import replicas_of

NO_DEADLINE = 2**31 - 1
AVAILABLE_REASON = "NewReplicaSetAvailable"
TIMED_OUT_REASON = "ProgressDeadlineExceeded"
PAUSED_REASON = "DeploymentPaused"


def has_progress_deadline(deployment: ReadOnlyObject) -> bool:
    """Whether lack of progress counts as failure."""
    return deployment["spec"].get("progressDeadlineSeconds") not in (None, NO_DEADLINE)


def make_condition(type: str, status: str, reason: str, message: str, now: datetime) -> Object:
    """A condition that begins now."""
    stamp = format_time(now)
    return {
        "type": type,
        "status": status,
        "lastUpdateTime": stamp,
        "lastTransitionTime": stamp,
        "reason": reason,
        "message": message,
    }


def with_condition(conditions: Iterable[Object], condition: Object) -> list[Object]:
    """Replace a condition. One of the same status and reason stays as it is: the message alone is no news."""
    known = list(conditions)
    current = find_condition(known, condition["type"])
    if current is not None and current["status"] == condition["status"]:
        if current.get("reason") == condition["reason"]:
            return known
        condition = {**condition, "lastTransitionTime": current.get("lastTransitionTime")}
    return [*without_condition(known, condition["type"]), condition]


def without_condition(conditions: Iterable[Object], type: str) -> list[Object]:
    """Drop a condition."""
    return [condition for condition in conditions if condition["type"] != type]


def conditions_of(deployment: ReadOnlyObject) -> list[Object]:
    """The conditions of a Deployment's status."""
    return list((deployment.get("status") or {}).get("conditions") or ())


def compute_counts(deployment: ReadOnlyObject, sets: ReplicaSets, conditions: list[Object], now: datetime) -> Object:
    """Return a status with counts and the Available condition; the other conditions are those given."""
    members = sets.all
    available = sum(status_count(item, "availableReplicas") for item in members)
    if available >= replicas_of(deployment) - max_unavailable(deployment):
        condition = make_condition(
            "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now
        )
    else:
        condition = make_condition(
            "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now
        )
    counts: Object = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": sum(status_count(item, "replicas") for item in members),
        "updatedReplicas": status_count(sets.new, "replicas") if sets.new is not None else 0,
        "readyReplicas": sum(status_count(item, "readyReplicas") for item in members),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(replicas_of(item) for item in members) - available),
    }
    status = {name: value for name, value in counts.items() if value}
    terminating = [(item.get("status") or {}).get("terminatingReplicas") for item in members]
    if None not in terminating:
        status["terminatingReplicas"] = sum(terminating)
    collision_count = (deployment.get("status") or {}).get("collisionCount")
    if collision_count is not None:
        status["collisionCount"] = collision_count
    status["conditions"] = with_condition(conditions, condition)
    return status


def compute_rollout_status(
    deployment: ReadOnlyObject, sets: ReplicaSets, conditions: list[Object], now: datetime
) -> Object:
    """Return the status during and after a rollout: counts, progress and failures of ReplicaSets."""
    status = compute_counts(deployment, sets, conditions, now)
    current = find_condition(conditions, "Progressing")
    if not has_progress_deadline(deployment):
        status["conditions"] = without_condition(status["conditions"], "Progressing")
    else:
        is_settled = (
            status.get("replicas", 0) == status.get("updatedReplicas", 0)
            and current is not None
            and current.get("reason") == AVAILABLE_REASON
        )
        if not is_settled:
            status["conditions"] = _progress(deployment, sets, status, current, now)
    failure = _replica_failure(sets)
    status["conditions"] = (
        with_condition(status["conditions"], failure)
        if failure is not None
        else without_condition(status["conditions"], "ReplicaFailure")
    )
    return status


def _progress(
    deployment: ReadOnlyObject, sets: ReplicaSets, status: Object, current: ReadOnlyObject | None, now: datetime
) -> list[Object]:
    conditions: list[Object] = status["conditions"]
    subject = f'Deployment "{deployment["metadata"]["name"]}"'
    if sets.new is not None:
        subject = f'ReplicaSet "{sets.new["metadata"]["name"]}"'
    if is_complete(deployment, status):
        message = f"{subject} has successfully progressed."
        return with_condition(conditions, make_condition("Progressing", "True", AVAILABLE_REASON, message, now))
    if _has_progressed(deployment, status):
        condition = make_condition("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", now)
        if current is not None and current["status"] == "True":
            condition["lastTransitionTime"] = current.get("lastTransitionTime")
        # Set anew each time: lastUpdateTime is what the deadline counts from.
        return [*without_condition(conditions, "Progressing"), condition]
    if has_timed_out(deployment, find_condition(conditions, "Progressing"), now):
        message = f"{subject} has timed out progressing."
        return with_condition(conditions, make_condition("Progressing", "False", TIMED_OUT_REASON, message, now))
    return conditions


def is_complete(deployment: ReadOnlyObject, status: ReadOnlyObject) -> bool:
    """Whether every Pod is of the new template and available."""
    desired = replicas_of(deployment)
    return all(
        status.get(name, 0) == desired for name in ("updatedReplicas", "replicas", "availableReplicas")
    ) and status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)


def _has_progressed(deployment: ReadOnlyObject, status: ReadOnlyObject) -> bool:
    before: ReadOnlyObject = deployment.get("status") or {}

    def old_pods(counts: ReadOnlyObject) -> int:
        return int(counts.get("replicas", 0)) - int(counts.get("updatedReplicas", 0))

    return old_pods(status) < old_pods(before) or any(
        status.get(name, 0) > before.get(name, 0) for name in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )


def has_timed_out(deployment: ReadOnlyObject, progressing: ReadOnlyObject | None, now: datetime) -> bool:
    """Whether nothing progressed for longer than the deadline."""
    if not has_progress_deadline(deployment) or progressing is None or progressing["reason"] == AVAILABLE_REASON:
        return False
    return progressing["reason"] == TIMED_OUT_REASON or _deadline(deployment, progressing) < now


def stuck_check_seconds(deployment: ReadOnlyObject, status: ReadOnlyObject, now: datetime) -> float | None:
    """Seconds until the deadline has to be judged again, None if it does not apply."""
    current = find_condition(conditions_of(deployment), "Progressing")
    if not has_progress_deadline(deployment) or current is None:
        return None
    if is_complete(deployment, status) or current["reason"] in (TIMED_OUT_REASON, PAUSED_REASON):
        return None
    return max(0.0, (_deadline(deployment, current) - now).total_seconds()) + 1


def _deadline(deployment: ReadOnlyObject, progressing: ReadOnlyObject) -> datetime:
    since = parse_time(progressing.get("lastUpdateTime") or progressing["lastTransitionTime"])
    return since + timedelta(seconds=deployment["spec"]["progressDeadlineSeconds"])


def _replica_failure(sets: ReplicaSets) -> Object | None:
    newest_first = ([sets.new] if sets.new is not None else []) + sets.old
    for item in newest_first:
        failure = find_condition((item.get("status") or {}).get("conditions"), "ReplicaFailure")
        if failure is not None:
            stamp = failure.get("lastTransitionTime")
            return {
                "type": "ReplicaFailure",
                "status": failure["status"],
                "lastUpdateTime": stamp,
                "lastTransitionTime": stamp,
                "reason": failure.get("reason", ""),
                "message": failure.get("message", ""),
            }
    return None
