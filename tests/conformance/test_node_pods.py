"""Requirements of sig-node on the life of a Pod as the API shows it: generations, updates, deadlines, removal."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tests.cluster import wait_for
from tests.conformance.batch import BUSYBOX, Batch, Object, is_finished, is_ready, make_pod, shell
from tests.conformance.http_api import MERGE_PATCH
from tests.fakes.docker_images import ARGUMENTS_IMAGE

pytestmark = pytest.mark.docker

SLEEP = "exec sleep 1000"
INIT = {"name": "init", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", "command": ["true"]}


@pytest.fixture(scope="module")
def made(batch: Batch) -> Batch:
    """The Pods of this module, created before anything is waited for."""
    graceful = make_pod("graceful", shell("trap '' TERM; sleep 1000"))
    graceful["metadata"]["generation"] = 100
    batch.create(
        make_pod("generation", shell(SLEEP), initContainers=[INIT]),
        graceful,
        make_pod("many-updates", shell(SLEEP), activeDeadlineSeconds=5000),
        *(make_pod(name, shell(SLEEP)) for name in ("deadline", "updated", "status", "life", "crowd-1", "crowd-2")),
    )
    return batch


def generations(pod: Object) -> tuple[int, int]:
    return pod["metadata"]["generation"], pod["status"].get("observedGeneration", 0)


def update(batch: Batch, name: str, change: Callable[[Object], None]) -> Object:
    """Read, change and replace a Pod, again while somebody else writes it meanwhile, as clients do."""
    while True:
        pod = batch.pod(name)
        change(pod)
        status, answer = batch.api.request("PUT", batch.path(f"pods/{name}"), pod)
        if status != 409:
            assert status == 200, answer
            return answer


def nothing(pod: Object) -> None:
    pass


def tolerate(pod: Object) -> None:
    toleration = {"key": "foo", "operator": "Equal", "value": "bar", "effect": "NoSchedule"}
    pod["spec"]["tolerations"].append(toleration)


def set_deadline(pod: Object) -> None:
    pod["spec"]["activeDeadlineSeconds"] = 5000


def change_image(pod: Object) -> None:
    pod["spec"]["containers"][0]["image"] = ARGUMENTS_IMAGE


def change_init_image(pod: Object) -> None:
    pod["spec"]["initContainers"][0]["image"] = ARGUMENTS_IMAGE


def annotate(pod: Object) -> None:
    pod["metadata"]["annotations"] = {"key": "value"}


def set_generation(pod: Object) -> None:
    pod["metadata"]["generation"] = 1


@pytest.mark.requirement(
    "[sig-node] Pods Extended (pod generation) Pod Generation pod generation should start at 1 and increment per update"
)
def test_pod_generation_should_start_at_1_and_increment_per_update(made: Batch) -> None:
    made.wait(is_ready, "generation", what="the Pod runs")
    assert made.pod("generation")["metadata"]["generation"] == 1
    expected = 1
    bumps = (tolerate, set_deadline, change_image, change_init_image)
    for change in (nothing, *bumps, annotate, set_generation):
        expected += change in bumps
        assert update(made, "generation", change)["metadata"]["generation"] == expected, change.__name__
    made.wait(lambda pod: generations(pod) == (5, 5), "generation", what="all updates were seen")
    made.wait(
        lambda pod: is_ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] == 1,
        "generation",
        what="the container runs its new image, though its policy is never to restart it",
    )
    status = made.pod("generation")["status"]
    assert {item.get("observedGeneration") for item in status["conditions"]} == {5}
    assert [item["restartCount"] for item in status["initContainerStatuses"]] == [0]


@pytest.mark.requirement(
    "[sig-node] Pods Extended (pod generation) Pod Generation custom-set generation on new pods and graceful delete"
)
def test_pod_generation_custom_set_generation_on_new_pods_and_graceful_delete(made: Batch) -> None:
    made.wait(is_ready, "graceful", what="the Pod runs")
    assert made.pod("graceful")["metadata"]["generation"] == 1
    with made.api.watch(made.path("pods"), "name=graceful") as events:
        pod = made.api.delete(made.path("pods/graceful"), gracePeriodSeconds="3")
        assert pod["metadata"]["generation"] == 2
        assert pod["metadata"]["deletionTimestamp"]
        seen = [next(events)]
        while seen[-1][0] != "DELETED":
            seen.append(next(events))
    assert (2, 2) in [generations(one) for _, one in seen], "the deletion was seen"
    assert "graceful" not in made.pods()


@pytest.mark.requirement(
    "[sig-node] Pods Extended (pod generation) Pod Generation issue 500 podspec updates and verify generation and "
    "observedGeneration eventually converge"
)
def test_pod_generation_issue_500_podspec_updates_and_observed_generation_converges(made: Batch) -> None:
    made.wait(is_ready, "many-updates", what="the Pod runs")
    for seconds in range(4999, 4999 - 499, -1):
        made.api.patch(made.path("pods/many-updates"), {"spec": {"activeDeadlineSeconds": seconds}}, MERGE_PATCH)
    assert made.pod("many-updates")["metadata"]["generation"] == 500
    made.wait(lambda pod: generations(pod) == (500, 500), "many-updates", what="all updates were seen")
    (status,) = made.pod("many-updates")["status"]["containerStatuses"]
    assert status["restartCount"] == 0


@pytest.mark.requirement("[sig-node] Pods should allow activeDeadlineSeconds to be updated")
def test_pods_should_allow_active_deadline_seconds_to_be_updated(made: Batch) -> None:
    made.wait(is_ready, "deadline", what="the Pod runs")
    update(made, "deadline", lambda pod: pod["spec"].update(activeDeadlineSeconds=3))
    made.wait(is_finished, "deadline", what="the deadline ends the Pod")
    status = made.pod("deadline")["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")


@pytest.mark.requirement("[sig-node] Pods should be updated")
def test_pods_should_be_updated(made: Batch) -> None:
    made.wait(is_ready, "updated", what="the Pod runs")
    assert len(made.api.items(made.path("pods"), "name=updated")) == 1
    update(made, "updated", lambda pod: pod["metadata"]["labels"].update(name="changed"))
    assert made.api.items(made.path("pods"), "name=updated") == []
    (found,) = made.api.items(made.path("pods"), "name=changed")
    assert found["metadata"]["name"] == "updated"
    assert is_ready(found)


@pytest.mark.requirement("[sig-node] Pods should be submitted and removed")
def test_pods_should_be_submitted_and_removed(made: Batch) -> None:
    with made.api.watch(made.path("pods"), "name=removed") as events:
        assert made.api.items(made.path("pods"), "name=removed") == []
        made.api.create(made.path("pods"), make_pod("removed", shell(SLEEP)))
        assert len(made.api.items(made.path("pods"), "name=removed")) == 1
        assert next(events)[0] == "ADDED"
        made.wait(is_ready, "removed", what="the Pod runs")
        answer = made.api.delete(made.path("pods/removed"), gracePeriodSeconds="30")
        assert answer["metadata"]["deletionGracePeriodSeconds"] == 30
        seen = [next(events)]
        while seen[-1][0] != "DELETED":
            seen.append(next(events))
    assert {kind for kind, _ in seen[:-1]} == {"MODIFIED"}
    assert [pod["status"]["phase"] for _, pod in seen if "deletionTimestamp" not in pod["metadata"]][-1] == "Running"
    last = seen[-1][1]
    assert last["metadata"]["deletionTimestamp"]
    assert last["spec"]["terminationGracePeriodSeconds"] != 0
    assert made.api.items(made.path("pods"), "name=removed") == []


@pytest.mark.requirement("[sig-node] Pods should patch a pod status")
def test_pods_should_patch_a_pod_status(made: Batch) -> None:
    made.wait(is_ready, "status", what="the Pod runs")
    path = made.path("pods/status/status")
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from a test"}
    made.api.patch(path, {"status": {"conditions": [condition]}})
    words = {"message": "Patched by a test", "reason": "E2E"}
    body = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": words}
    patched = made.api.patch(path, body, MERGE_PATCH)
    assert {key: patched["status"][key] for key in words} == words
    conditions = {item["type"]: item for item in patched["status"]["conditions"]}
    assert conditions["StatusUpdate"]["reason"] == "E2E"
    assert conditions["Ready"]["status"] == "True"


@pytest.mark.requirement("[sig-node] Pods should run through the lifecycle of Pods and PodStatus")
def test_pods_should_run_through_the_lifecycle_of_pods_and_pod_status(made: Batch) -> None:
    made.wait(is_ready, "life", what="the Pod runs")
    patch = {
        "metadata": {"labels": {"stage": "patched"}},
        "spec": {"containers": [{"name": "main", "image": ARGUMENTS_IMAGE}]},
    }
    made.api.patch(made.path("pods/life"), patch)
    (patched,) = made.api.items(made.path("pods"), "stage=patched")
    assert patched["spec"]["containers"][0]["image"] == ARGUMENTS_IMAGE
    with made.api.watch(made.path("pods"), "stage=patched") as events:
        wanted = {"Ready": "False", "ContainersReady": "False"}
        assert statuses_of_conditions(replace_status(made, "life", wanted), wanted) == wanted
        made.wait(is_ready, "life", what="the node says again how things are")
        made.api.delete(made.path("pods"), labelSelector="stage=patched")
        while next(events)[0] != "DELETED":
            pass
    assert made.api.items(made.path("pods"), "stage=patched") == []


def replace_status(batch: Batch, name: str, conditions: dict[str, str]) -> Object:
    """Read the status, change conditions and replace it, again while somebody else writes it meanwhile."""
    while True:
        pod = batch.api.get(batch.path(f"pods/{name}/status"))
        for condition in pod["status"]["conditions"]:
            condition["status"] = conditions.get(condition["type"], condition["status"])
        status, answer = batch.api.request("PUT", batch.path(f"pods/{name}/status"), pod)
        if status != 409:
            assert status == 200, answer
            return answer


def statuses_of_conditions(pod: Object, types: Iterable[str]) -> dict[str, str]:
    return {item["type"]: item["status"] for item in pod["status"]["conditions"] if item["type"] in types}


@pytest.mark.requirement("[sig-node] Pods should delete a collection of pods")
def test_pods_should_delete_a_collection_of_pods(made: Batch) -> None:
    made.wait(is_ready, "crowd-1", "crowd-2", what="the Pods run")
    selector = "name in (crowd-1, crowd-2)"
    answer = made.api.delete(made.path("pods"), labelSelector=selector)
    assert [pod["metadata"]["name"] for pod in answer["items"]] == ["crowd-1", "crowd-2"]
    wait_for(lambda: not made.api.items(made.path("pods"), selector), "both are gone")
    assert "generation" in made.pods()
