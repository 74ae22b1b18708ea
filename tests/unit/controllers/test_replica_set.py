"""What one turn of a ReplicaSet decides, and which Pods it gives up first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from control.api.builtin_kinds import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from control.api.errors import forbidden
from control.api.objects import Object
from control.client.view import View
from control.client.writes import Batch, Create, Delete, Failure, Patch, Result, Update
from control.controllers.pod_ranking import choose_pods_to_delete
from control.controllers.replica_set import BURST_MAX, REPLICA_SET_KEEPER, REPLICATION_KEEPER, changes_only_counts
from tests.unit.controllers.builders import NOW, make_object, make_pod


def make_replica_set(replicas: int, **fields: Any) -> Object:
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}},
        **fields.pop("spec", {}),
    }
    return make_object("apps/v1", "ReplicaSet", "rs", spec=spec, **{"status": {"replicas": 0}, **fields})


def turn(replica_set: Object, pods: Sequence[Object] = ()) -> Result:
    return REPLICA_SET_KEEPER.reconcile("default/rs", View.of({REPLICA_SETS: [replica_set], PODS: pods}), NOW)


def writes(result: Result, type: type) -> list[Any]:
    flat = [write for step in result.steps for write in (step.writes if isinstance(step, Batch) else [step])]
    return [write for write in flat if isinstance(write, type)]


def status_of(result: Result) -> Object:
    (update,) = writes(result, Update)
    assert update.subresource == "status"
    return dict(update.obj["status"])


def test_missing_pods_are_created_in_slow_start() -> None:
    replica_set = make_replica_set(3)
    batch = turn(replica_set, [make_pod("a", replica_set)]).steps[0]
    assert isinstance(batch, Batch)
    assert batch.slow_start
    assert len(batch.writes) == 2
    create = batch.writes[0]
    assert isinstance(create, Create)
    assert create.obj["metadata"]["generateName"] == "rs-"
    assert create.obj["metadata"]["ownerReferences"][0]["controller"]
    assert create.success is not None
    assert (create.success.reason, create.success.message) == ("SuccessfulCreate", "Created pod: {name}")


def test_one_turn_creates_a_bounded_number() -> None:
    assert len(writes(turn(make_replica_set(2000)), Create)) == BURST_MAX


def test_finished_and_doomed_pods_are_replaced() -> None:
    replica_set = make_replica_set(2)
    pods = [
        make_pod("failed", replica_set, status={"phase": "Failed"}),
        make_pod("going", replica_set, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        make_pod("good", replica_set, ready=True),
    ]
    result = turn(replica_set, pods)
    assert len(writes(result, Create)) == 1
    assert status_of(result) == {
        "replicas": 1,
        "fullyLabeledReplicas": 1,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "observedGeneration": 1,
        "terminatingReplicas": 1,
    }


def test_surplus_pods_are_deleted_by_uid() -> None:
    replica_set = make_replica_set(1)
    pods = [make_pod("ready", replica_set, ready=True, node="n"), make_pod("pending", replica_set)]
    (delete,) = writes(turn(replica_set, pods), Delete)
    assert (delete.name, delete.uid) == ("pending", pods[1]["metadata"]["uid"])


def test_replica_set_being_deleted_touches_no_pod() -> None:
    replica_set = make_replica_set(3, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    orphan = make_pod("orphan")
    assert writes(turn(replica_set, [orphan]), Create) == writes(turn(replica_set, [orphan]), Patch) == []


def test_orphans_are_adopted_and_strangers_released_before_anything_else() -> None:
    replica_set = make_replica_set(5)
    pods = [
        make_pod("orphan"),
        make_pod("finished", status={"phase": "Succeeded"}),
        make_pod("renamed", replica_set, metadata={"labels": {"app": "debug"}}),
        make_pod("foreign", make_replica_set(1)),
    ]
    result = turn(replica_set, pods)
    assert sorted(patch.name for patch in writes(result, Patch)) == ["orphan", "renamed"]
    assert writes(result, Create) == []


def test_pod_becomes_available_after_min_ready_seconds() -> None:
    replica_set = make_replica_set(1, spec={"minReadySeconds": 30})
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T11:59:50Z"}
    result = turn(replica_set, [make_pod("a", replica_set, status={"conditions": [condition]})])
    assert "availableReplicas" not in status_of(result)
    assert result.requeue_after == 20


def test_refusal_is_a_condition_until_pods_can_be_made() -> None:
    replica_set = make_replica_set(1)
    create = writes(turn(replica_set), Create)[0]
    view = View.of({REPLICA_SETS: [replica_set], PODS: []})
    failure = Failure(write=create, error=forbidden("", "pods", "rs-x", "exceeded quota"))
    replica_set = dict(writes(REPLICA_SET_KEEPER.on_failure("default/rs", view, NOW, [failure]), Update)[0].obj)
    (condition,) = replica_set["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("ReplicaFailure", "True", "FailedCreate")
    assert condition["message"] == 'pods "rs-x" is forbidden: exceeded quota'
    assert "conditions" in status_of(turn(replica_set))
    assert "conditions" not in status_of(turn(replica_set, [make_pod("a", replica_set)]))


@pytest.mark.parametrize(
    ("change", "may_wait"),
    [
        pytest.param({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, True, id="it became ready"),
        pytest.param({"status": {"phase": "Failed"}}, False, id="it ended"),
        pytest.param({"labels": {"app": "other"}}, False, id="its labels changed"),
        pytest.param({"deletionTimestamp": "2026-01-01T00:00:00Z"}, False, id="it is being deleted"),
    ],
)
def test_only_readiness_of_a_pod_may_wait(change: dict[str, Any], may_wait: bool) -> None:
    pod = make_pod("a", make_replica_set(1))
    changed = {**pod, "metadata": {**pod["metadata"], **{k: v for k, v in change.items() if k != "status"}}}
    changed["status"] = {**(pod.get("status") or {}), **change.get("status", {})}
    assert changes_only_counts(pod, changed) is may_wait
    assert not changes_only_counts(None, pod)
    assert not changes_only_counts(pod, None)


def test_replication_controller_is_kept_by_the_same_machine() -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}
    controller = make_object(
        "v1",
        "ReplicationController",
        "rc",
        spec={"replicas": 2, "selector": {"app": "web"}, "template": template},
        status={"replicas": 0},
    )
    view = View.of({REPLICATION_CONTROLLERS: [controller], PODS: [make_pod("a", controller)]})
    result = REPLICATION_KEEPER.reconcile("default/rc", view, NOW)
    assert len(writes(result, Create)) == 1
    assert status_of(result) == {"replicas": 1, "fullyLabeledReplicas": 1, "observedGeneration": 1}


def ready_since(stamp: str) -> Object:
    return {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": stamp}]}


RUNNING = {"phase": "Running"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({}, {"node": "n"}, id="an unassigned Pod before an assigned one"),
        pytest.param({"node": "n", "status": {"phase": "Pending"}}, {"node": "n"}, id="a pending before a running one"),
        pytest.param({"node": "n"}, {"node": "n", "ready": True}, id="an unready before a ready one"),
        pytest.param(
            {
                "node": "n",
                "ready": True,
                "metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}},
            },
            {"node": "n", "ready": True},
            id="a cheap before a dear one",
        ),
        pytest.param({"node": "full", "ready": True}, {"node": "n", "ready": True}, id="one of a crowded node"),
        pytest.param(
            {"node": "n", "status": ready_since("2026-01-01T11:59:00Z")},
            {"node": "n", "status": ready_since("2026-01-01T08:00:00Z")},
            id="one that became ready lately",
        ),
        pytest.param(
            {"node": "n", "status": {**RUNNING, "containerStatuses": [{"restartCount": 9}]}},
            {"node": "n", "status": {**RUNNING, "containerStatuses": [{"restartCount": 1}]}},
            id="one that restarted more often",
        ),
        pytest.param(
            {"node": "n", "metadata": {"creationTimestamp": "2026-01-01T11:00:00Z"}},
            {"node": "n", "metadata": {"creationTimestamp": "2025-01-01T00:00:00Z"}},
            id="a young before an old one",
        ),
    ],
)
def test_pod_given_up_first(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, other = make_pod("first", **first), make_pod("second", **second)
    crowd = [make_pod(f"crowd-{number}", node="full") for number in range(3)]
    for pods in ([one, other], [other, one]):
        chosen = choose_pods_to_delete(pods, [*pods, *crowd], 1, NOW)
        assert [pod["metadata"]["name"] for pod in chosen] == ["first"]
