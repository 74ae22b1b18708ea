"""What one turn of a Deployment decides."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from control.api.builtin_kinds import DEPLOYMENTS, PODS, REPLICA_SETS
from control.api.errors import already_exists, forbidden
from control.api.meta import find_condition
from control.api.objects import Object
from control.client.view import View
from control.client.writes import Batch, Create, Delete, Failure, Notice, Patch, Result, Step, Update
from control.controllers.deployment.reconcile import on_failure, reconcile
from control.controllers.deployment.template_hash import compute_template_hash
from tests.unit.controllers.builders import NOW, make_deployment, make_object, make_pod, own

REVISION = "deployment.kubernetes.io/revision"


def make_replica_set(
    deployment: Object, image: str, size: int, *, available: int | None = None, revision: int = 1, **annotations: str
) -> Object:
    """A ReplicaSet of a template with that image, at rest."""
    available = size if available is None else available
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    template_hash = compute_template_hash(template)
    template["metadata"]["labels"] = {"app": "web", "pod-template-hash": template_hash}
    status = {"replicas": size, "readyReplicas": available, "availableReplicas": available, "observedGeneration": 1}
    desired = deployment["spec"]["replicas"]
    return make_object(
        "apps/v1",
        "ReplicaSet",
        f"web-{template_hash}",
        metadata={
            "labels": dict(template["metadata"]["labels"]),
            "ownerReferences": [own(deployment)],
            "annotations": {
                REVISION: str(revision),
                "deployment.kubernetes.io/desired-replicas": str(desired),
                "deployment.kubernetes.io/max-replicas": str(desired + 1),
                **annotations,
            },
            "creationTimestamp": f"2026-01-01T00:00:{revision:02d}Z",
        },
        spec={"replicas": size, "selector": {"matchLabels": template["metadata"]["labels"]}, "template": template},
        status=status,
    )


def turn(deployment: Object, replica_sets: Sequence[Object] = (), pods: Sequence[Object] = ()) -> Result:
    view = View.of({DEPLOYMENTS: [deployment], REPLICA_SETS: replica_sets, PODS: pods})
    return reconcile("default/web", view, NOW)


def sizes(result: Result) -> dict[str, int]:
    """Sizes of ReplicaSets the turn writes, by image."""
    return {
        step.obj["spec"]["template"]["spec"]["containers"][0]["image"]: step.obj["spec"]["replicas"]
        for step in result.steps
        if isinstance(step, Create | Update) and step.kind is REPLICA_SETS
    }


def messages(result: Result) -> list[str]:
    notices: list[str] = []
    for step in result.steps:
        if isinstance(step, Notice):
            notices.append(step.message)
        elif isinstance(step, Create) and step.success is not None:
            notices.append(step.success.message)
    return notices


def status_write(result: Result) -> Object:
    writes = [step for step in result.steps if isinstance(step, Update) and step.kind is DEPLOYMENTS]
    assert len(writes) == 1
    assert writes[0].subresource == "status"
    return dict(writes[0].obj)


def progressing(obj: Object) -> tuple[str, str, str]:
    condition: Any = find_condition(obj["status"]["conditions"], "Progressing")
    return (condition["status"], condition["reason"], condition["message"])


def test_new_deployment_gets_a_replica_set_of_full_size() -> None:
    result = turn(make_deployment(3))
    create = result.steps[0]
    assert isinstance(create, Create)
    name = create.obj["metadata"]["name"]
    template_hash = create.obj["metadata"]["labels"]["pod-template-hash"]
    assert name == f"web-{template_hash}"
    assert set(template_hash) <= set("bcdfghjklmnpqrstvwxz2456789")
    assert create.obj["metadata"]["annotations"] == {
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
        REVISION: "1",
    }
    assert create.obj["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": template_hash}
    assert messages(result) == [f"Scaled up replica set {name} from 0 to 3"]
    written = status_write(result)
    assert written["metadata"]["annotations"] == {REVISION: "1"}
    assert progressing(written) == ("True", "NewReplicaSetCreated", f'Created new replica set "{name}"')


def test_deployment_at_rest_needs_nothing() -> None:
    deployment = make_deployment(3)
    replica_set = make_replica_set(deployment, "one", 3)
    settled = status_write(turn(deployment, [replica_set]))
    assert progressing(settled) == (
        "True",
        "NewReplicaSetAvailable",
        f'ReplicaSet "{replica_set["metadata"]["name"]}" has successfully progressed.',
    )
    assert not turn(settled, [replica_set]).steps


def test_template_hash_is_stable_and_blind_to_emptiness() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}
    other = {"metadata": {"labels": {"a": "b", "pod-template-hash": "x"}, "annotations": {}}, "spec": template["spec"]}
    assert compute_template_hash(template) == compute_template_hash(other) == "84dc89cb9"
    assert compute_template_hash(template, 1) != compute_template_hash(template)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param((4, 4), None, {"two": 1}, id="the new one starts with the surge"),
        pytest.param((4, 4), (1, 0), {"one": 3}, id="old Pods go as far as may be unavailable"),
        pytest.param((3, 3), (1, 0), {"two": 2}, id="freed room goes to the new one"),
        pytest.param((3, 3), (2, 0), {}, id="nothing goes while new Pods are not available"),
        pytest.param((3, 3), (2, 1), {"one": 2}, id="each available new Pod frees an old one"),
        pytest.param((5, 0), (0, 0), {"one": 3}, id="Pods that never became available go first"),
        pytest.param((0, 0), (3, 3), {"two": 4}, id="the new one grows to full size"),
    ],
)
def test_rolling_update_step(old: tuple[int, int], new: tuple[int, int] | None, expected: dict[str, int]) -> None:
    deployment = make_deployment(4, image="two")
    replica_sets = [make_replica_set(deployment, "one", old[0], available=old[1])]
    if new is not None:
        replica_sets.append(make_replica_set(deployment, "two", new[0], available=new[1], revision=2))
    assert sizes(turn(deployment, replica_sets)) == expected


def test_two_reasons_to_shrink_are_one_write_and_two_events() -> None:
    deployment = make_deployment(10, image="two")
    old = make_replica_set(deployment, "one", 9, available=8)
    new = make_replica_set(deployment, "two", 4, available=4, revision=2)
    result = turn(deployment, [old, new])
    name = old["metadata"]["name"]
    assert sizes(result) == {"one": 4}
    assert messages(result) == [
        f"Scaled down replica set {name} from 9 to 8",
        f"Scaled down replica set {name} from 8 to 4",
    ]


def test_rollback_takes_the_old_replica_set_with_a_new_revision() -> None:
    deployment = make_deployment(3, image="one")
    first = make_replica_set(deployment, "one", 0, revision=1)
    second = make_replica_set(deployment, "two", 3, revision=2)
    (update,) = turn(deployment, [first, second]).steps
    assert isinstance(update, Update)
    assert update.obj["metadata"]["name"] == first["metadata"]["name"]
    assert update.obj["metadata"]["annotations"][REVISION] == "3"
    assert update.obj["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"


def test_recreate_waits_for_the_last_old_pod() -> None:
    deployment = make_deployment(2, image="two", strategy={"type": "Recreate"})
    old = make_replica_set(deployment, "one", 2)
    assert sizes(turn(deployment, [old])) == {"one": 0}
    emptied = make_replica_set(deployment, "one", 0)
    pod = make_pod("p", emptied)
    assert sizes(turn(deployment, [emptied], [pod])) == {}
    done = make_pod("p", emptied, status={"phase": "Succeeded"})
    assert sizes(turn(deployment, [emptied], [done])) == {"two": 2}


def test_paused_deployment_scales_but_does_not_roll() -> None:
    deployment = make_deployment(5, image="two", paused=True)
    old = make_replica_set(make_deployment(3), "one", 3)
    old["metadata"]["ownerReferences"] = [own(deployment)]
    result = turn(deployment, [old])
    assert progressing(status_write(result)) == ("Unknown", "DeploymentPaused", "Deployment is paused")
    assert sizes(turn(status_write(result), [old])) == {"one": 5}


def test_scaling_during_a_rollout_is_proportional() -> None:
    before = make_deployment(10)
    deployment = make_deployment(20, image="two")
    replica_sets = [
        make_replica_set(before, "one", 8, **{"deployment.kubernetes.io/max-replicas": "13"}),
        make_replica_set(before, "two", 5, revision=2, **{"deployment.kubernetes.io/max-replicas": "13"}),
    ]
    for item in replica_sets:
        item["metadata"]["ownerReferences"] = [own(deployment)]
    assert sizes(turn(deployment, replica_sets)) == {"one": 15, "two": 10}


def test_deadline_without_progress_is_a_failure_and_is_checked_in_time() -> None:
    deployment = make_deployment(3)
    replica_set = make_replica_set(deployment, "one", 3, available=0)
    deployment = status_write(turn(deployment, [replica_set]))
    view = View.of({DEPLOYMENTS: [deployment], REPLICA_SETS: [replica_set], PODS: []})
    waiting = reconcile("default/web", view, NOW + timedelta(seconds=100))
    assert (list(waiting.steps), waiting.requeue_after) == ([], 501)
    late = reconcile("default/web", view, NOW + timedelta(seconds=601))
    assert progressing(status_write(late)) == (
        "False",
        "ProgressDeadlineExceeded",
        f'ReplicaSet "{replica_set["metadata"]["name"]}" has timed out progressing.',
    )


def test_old_revisions_beyond_the_limit_are_deleted() -> None:
    deployment = make_deployment(1, image="five", revisionHistoryLimit=2)
    old = [make_replica_set(deployment, image, 0, revision=n) for n, image in enumerate(["a", "b", "c", "d"], 1)]
    new = make_replica_set(deployment, "five", 1, revision=5)
    deployment = status_write(turn(deployment, [*old, new]))
    deletions = [step.name for step in turn(deployment, [*old, new]).steps if isinstance(step, Delete)]
    assert deletions == [old[0]["metadata"]["name"], old[1]["metadata"]["name"]]


def test_matching_orphan_is_adopted_and_foreign_one_left_alone() -> None:
    deployment = make_deployment(1)
    orphan = make_replica_set(deployment, "one", 1)
    del orphan["metadata"]["ownerReferences"]
    foreign = make_replica_set(make_deployment(1), "two", 1)
    (batch,) = turn(deployment, [orphan, foreign]).steps
    assert isinstance(batch, Batch)
    (patch,) = batch.writes
    assert isinstance(patch, Patch)
    assert patch.name == orphan["metadata"]["name"]
    assert patch.patch == {
        "metadata": {"ownerReferences": [own(deployment)], "uid": orphan["metadata"]["uid"]},
    }


def test_deployment_being_deleted_only_reports() -> None:
    deployment = make_deployment(5)
    deployment["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    result = turn(deployment, [make_replica_set(deployment, "one", 3)])
    assert sizes(result) == {}
    assert status_write(result)["status"]["replicas"] == 3


def test_name_collision_moves_the_hash() -> None:
    deployment = make_deployment(1)
    create = turn(deployment).steps[0]
    assert isinstance(create, Create)
    name = create.obj["metadata"]["name"]
    stranger = make_replica_set(make_deployment(1), "other", 1)
    stranger["metadata"]["name"] = name
    view = View.of({DEPLOYMENTS: [deployment], REPLICA_SETS: [stranger], PODS: []})
    failure = Failure(write=create, error=already_exists("apps", "replicasets", name))
    written = status_write(on_failure("default/web", view, NOW, [failure]))
    assert written["status"]["collisionCount"] == 1
    again = turn(written, [stranger]).steps[0]
    assert isinstance(again, Create)
    assert again.obj["metadata"]["name"] != name


def test_refused_replica_set_shows_in_the_condition() -> None:
    deployment = make_deployment(1)
    create = turn(deployment).steps[0]
    assert isinstance(create, Create)
    view = View.of({DEPLOYMENTS: [deployment], REPLICA_SETS: [], PODS: []})
    failure = Failure(write=create, error=forbidden("apps", "replicasets", "x", "no"))
    result = on_failure("default/web", view, NOW, [failure])
    status, reason, message = progressing(status_write(result))
    assert (status, reason) == ("False", "ReplicaSetCreateError")
    assert message.endswith('replicasets.apps "x" is forbidden: no')
    steps: list[Step] = list(result.steps)
    assert isinstance(steps[0], Notice)
    assert steps[0].type == "Warning"
