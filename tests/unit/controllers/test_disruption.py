"""PodDisruptionBudgets: what is expected, what is healthy, what may go; and evictions that never came."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.builtin_kinds import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from control.api.meta import object_key
from control.api.objects import Object
from control.api.timestamps import format_time
from control.client.view import View
from control.client.writes import Notice, Patch, Result, Update
from control.controllers.disruption import budget as budgets
from control.controllers.disruption import stale_target
from tests.unit.controllers.builders import NOW, make_deployment, make_object, own

LABELS = {"app": "web"}


def make_budget(*, status: Object | None = None, **spec: Any) -> Object:
    body = {"selector": {"matchLabels": LABELS}, **spec}
    return make_object("policy/v1", "PodDisruptionBudget", "b", spec=body, status=status or {})


def make_backend(name: str, owner: Object | None = None, *, ready: bool = True, **metadata: Any) -> Object:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    references = {"ownerReferences": [own(owner)]} if owner else {}
    return make_object(
        "v1",
        "Pod",
        name,
        metadata={"labels": LABELS, **references, **metadata},
        spec={"containers": []},
        status={"phase": "Running", "conditions": conditions},
    )


def make_replica_set(name: str, replicas: int, owner: Object | None = None) -> Object:
    references = {"ownerReferences": [own(owner)]} if owner else {}
    return make_object("apps/v1", "ReplicaSet", name, metadata=references, spec={"replicas": replicas})


def plan(budget: Object, pods: list[Object], *owners: Object) -> Result:
    stores: dict[Any, list[Object]] = {POD_DISRUPTION_BUDGETS: [budget], PODS: pods}
    for kind in (DEPLOYMENTS, REPLICA_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS):
        stores[kind] = [owner for owner in owners if owner["kind"] == kind.kind]
    return budgets.reconcile(object_key(budget), View.of(stores), NOW)


def status_of(result: Result) -> Object:
    (update,) = (step for step in result.steps if isinstance(step, Update))
    assert update.subresource == "status"
    status: Object = update.obj["status"]
    return status


def counts(result: Result) -> tuple[int, int, int, int]:
    status = status_of(result)
    return (
        status["expectedPods"],
        status["desiredHealthy"],
        status["currentHealthy"],
        status["disruptionsAllowed"],
    )


SET = make_replica_set("web-1", 10)
THREE = [make_backend(f"web-{number}", SET, ready=number > 0) for number in range(3)]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 1}, (3, 1, 2, 1)),
        ({"minAvailable": 3}, (3, 3, 2, 0)),
        ({"minAvailable": "15%"}, (10, 2, 2, 0)),
        ({"minAvailable": "10%"}, (10, 1, 2, 1)),
        ({"maxUnavailable": 9}, (10, 1, 2, 1)),
        ({"maxUnavailable": 12}, (10, 0, 2, 2)),
        ({"maxUnavailable": "81%"}, (10, 1, 2, 1)),
        ({}, (0, 0, 2, 0)),
    ],
)
def test_what_is_expected_and_what_may_go(spec: Object, expected: tuple[int, int, int, int]) -> None:
    result = plan(make_budget(**spec), THREE, SET)
    assert counts(result) == expected
    (condition,) = status_of(result)["conditions"]
    reason = "SufficientPods" if expected[3] else "InsufficientPods"
    assert (condition["type"], condition["reason"]) == ("DisruptionAllowed", reason)
    assert (condition["status"] == "True") == bool(expected[3])


def test_a_deployment_counts_once_during_a_rollout() -> None:
    deployment = make_deployment(4)
    old, new = make_replica_set("old", 3, deployment), make_replica_set("new", 2, deployment)
    pods = [make_backend("a", old), make_backend("b", new)]
    assert counts(plan(make_budget(maxUnavailable=3), pods, deployment, old, new)) == (4, 1, 2, 1)


def test_scales_of_several_controllers_add_up() -> None:
    stateful = make_object("apps/v1", "StatefulSet", "db", spec={"replicas": 2})
    replication = make_object("v1", "ReplicationController", "old", spec={"replicas": 5})
    pods = [make_backend("a", stateful), make_backend("b", replication), make_backend("c", SET)]
    assert counts(plan(make_budget(maxUnavailable=15), pods, stateful, replication, SET))[:2] == (17, 2)


def test_nothing_may_go_while_nothing_is_expected() -> None:
    result = plan(make_budget(maxUnavailable=1), [])
    assert counts(result) == (0, 0, 0, 0)
    assert [step.reason for step in result.steps if isinstance(step, Notice)] == ["NoPods"]


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        (make_object("batch/v1", "Job", "j", spec={}), "jobs.batch does not implement the scale subresource"),
        (make_object("apps/v1", "DaemonSet", "d", spec={}), "daemonsets.apps does not implement the scale subresource"),
        (make_object("example.com/v1", "Thing", "t", spec={}), 'found no controllers for pod "a"'),
        (make_replica_set("gone", 1), 'found no controllers for pod "a"'),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_what_cannot_be_counted_allows_nothing(owner: Object, message: str) -> None:
    known = {"observedGeneration": 1, "disruptionsAllowed": 3, "currentHealthy": 4, "desiredHealthy": 1}
    result = plan(make_budget(maxUnavailable=1, status=known), [make_backend("a", owner)])
    status = status_of(result)
    assert status["disruptionsAllowed"] == 0
    assert status["currentHealthy"] == 4
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "SyncFailed", message)
    (notice,) = (step for step in result.steps if isinstance(step, Notice))
    assert notice.reason == "CalculateExpectedPodCountFailed"
    assert message in notice.message


def test_pods_nobody_controls_are_told_of() -> None:
    pods = [make_backend("a"), make_backend("b", SET)]
    result = plan(make_budget(minAvailable="50%"), pods, SET)
    assert counts(result)[0] == 10
    assert [step.reason for step in result.steps if isinstance(step, Notice)] == ["UnmanagedPods"]
    assert not [step for step in plan(make_budget(minAvailable=1), pods, SET).steps if isinstance(step, Notice)]


def test_a_pod_that_is_going_or_was_granted_to_go_is_not_healthy() -> None:
    granted = format_time(NOW - timedelta(seconds=30))
    late = format_time(NOW - timedelta(seconds=121))
    pods = [
        make_backend("stays", SET),
        make_backend("granted", SET),
        make_backend("late", SET),
        make_backend("going", SET, deletionTimestamp=format_time(NOW)),
    ]
    known = {"disruptedPods": {"granted": granted, "late": late, "going": granted, "gone": granted}}
    result = plan(make_budget(minAvailable=1, status=known), pods, SET)
    assert counts(result) == (4, 1, 2, 1)
    assert status_of(result)["disruptedPods"] == {"granted": granted}
    assert result.requeue_after == 90
    (notice,) = (step for step in result.steps if isinstance(step, Notice))
    assert (notice.reason, notice.regarding["metadata"]["name"]) == ("NotDeleted", "late")


def test_a_status_that_holds_is_not_written_again() -> None:
    budget = make_budget(minAvailable=1)
    written = {**budget, "status": status_of(plan(budget, THREE, SET))}
    assert not plan(written, THREE, SET).steps


@given(
    bound=st.one_of(st.integers(0, 20), st.integers(0, 100).map(lambda share: f"{share}%")),
    is_min=st.booleans(),
    readiness=st.lists(st.booleans(), max_size=12),
)
def test_what_may_go_never_leaves_too_few(bound: int | str, is_min: bool, readiness: list[bool]) -> None:
    pods = [make_backend(f"p{number}", SET, ready=ready) for number, ready in enumerate(readiness)]
    expected, desired, healthy, allowed = counts(
        plan(make_budget(**{"minAvailable" if is_min else "maxUnavailable": bound}), pods, SET)
    )
    assert healthy == sum(readiness)
    assert allowed == 0 or healthy - allowed >= desired
    assert expected > 0 or allowed == 0


def test_a_pod_wakes_the_budgets_that_select_it_now_or_did_before() -> None:
    view = View.of({POD_DISRUPTION_BUDGETS: [make_budget(minAvailable=1)]})
    pod = make_backend("a")
    other = {**pod, "metadata": {**pod["metadata"], "labels": {"app": "else"}}}
    (watch,) = (item for item in budgets.BUDGETS.watches if item.kind == PODS)
    assert list(watch.keys(None, pod, view)) == ["default/b"]
    assert list(watch.keys(pod, other, view)) == ["default/b"]
    assert list(watch.keys(pod, None, view)) == ["default/b"]
    assert not list(watch.keys(None, other, view))


def make_target(*, age: float, **changes: Any) -> Object:
    pod = make_backend("a")
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "lastTransitionTime": format_time(NOW - timedelta(seconds=age)),
        **changes.pop("condition", {}),
    }
    pod["status"] = {"phase": "Running", "conditions": [condition], **changes.pop("status", {})}
    pod["metadata"].update(changes)
    return pod


def judge_target(pod: Object) -> Result:
    return stale_target.reconcile(object_key(pod), View.of({PODS: [pod]}), NOW)


def test_a_mark_of_disruption_is_taken_back_when_nothing_came_of_it() -> None:
    assert judge_target(make_target(age=50)).requeue_after == 70
    (patch,) = judge_target(make_target(age=120)).steps
    assert isinstance(patch, Patch)
    assert isinstance(patch.patch, dict)
    (condition,) = patch.patch["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("DisruptionTarget", "False")


@pytest.mark.parametrize(
    "changes",
    [
        {"deletionTimestamp": format_time(NOW)},
        {"status": {"phase": "Failed"}},
        {"condition": {"reason": "TerminationByKubelet"}},
        {"condition": {"status": "False"}},
    ],
    ids=["it is ending", "it has ended", "the node's own", "taken back already"],
)
def test_a_mark_that_holds_is_left_alone(changes: Object) -> None:
    result = judge_target(make_target(age=1000, **changes))
    assert not result.steps
    assert result.requeue_after is None
