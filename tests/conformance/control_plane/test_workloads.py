"""Requirements of sig-apps on Deployments, ReplicaSets, ReplicationControllers and what owns what, on played nodes."""

from __future__ import annotations

import uuid

import pytest

from tests.cluster import wait_for
from tests.conformance.batch import Object, make_object
from tests.conformance.control_plane.workloads import Workloads, make_controller, make_workload, owners, template
from tests.conformance.http_api import MERGE_PATCH

pytestmark = pytest.mark.usefixtures("nodes")


# --- Deployments ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("[sig-apps] Deployment should run the lifecycle of a Deployment")
def test_the_lifecycle_of_a_deployment(workloads: Workloads) -> None:
    api, path = workloads.api, workloads.deployments
    one = f"{path}/life"
    selector = "name=life"
    body = make_workload("Deployment", "life", 2)
    with api.watch(path, selector) as events:
        api.create(path, body)
        assert next(events)[0] == "ADDED"
        workloads.wait_ready(one, 2)
        container = {"name": "main", "image": "other", "command": ["/bin/sleep", "100000"]}
        spec = {"TerminationGracePeriodSeconds": 0, "containers": [container]}
        patch = {"metadata": {"labels": {"phase": "patched"}}, "spec": {"replicas": 1, "template": {"spec": spec}}}
        api.patch(one, patch)
        patched = workloads.wait_ready(one, 1)
        assert patched["spec"]["template"]["spec"]["containers"][0]["image"] == "other"
        everywhere = api.items("/apis/apps/v1/deployments", selector)
        assert [item["metadata"]["name"] for item in everywhere] == ["life"]

        # a whole object as a client of the time before makes it: without version, with empty fields
        body["metadata"] |= {"labels": {"name": "life", "phase": "updated"}, "creationTimestamp": None}
        body["spec"] |= {"template": template("life", "third"), "strategy": {}}
        api.update(one, body | {"status": {}})
        workloads.wait_ready(one, 2)
        got = api.get(f"{one}/status")
        assert got["metadata"]["labels"]["phase"] == "updated"
        assert got["spec"]["template"]["spec"]["containers"][0]["image"] == "third"

        ready = {"readyReplicas": 0, "availableReplicas": 0}
        status = {"metadata": {"labels": {"phase": "patched-status"}}, "status": ready}
        assert api.patch(f"{one}/status", status)["status"].get("readyReplicas", 0) == 0
        assert api.get(f"{one}/status")["metadata"]["labels"]["phase"] == "updated"
        workloads.wait_ready(one, 2)
        api.delete(path, labelSelector=selector, gracePeriodSeconds="0")
        assert next(kind for kind, _ in events if kind != "MODIFIED") == "DELETED"
    wait_for(lambda: not workloads.selected(workloads.pods, "life"), "all its Pods are gone")


@pytest.mark.requirement("[sig-apps] Deployment Deployment should have a working scale subresource")
def test_a_deployment_is_scaled(workloads: Workloads) -> None:
    check_scale(workloads, workloads.deployments, make_workload("Deployment", "scaled-deployment", 1))


@pytest.mark.requirement("[sig-apps] ReplicaSet Replicaset should have a working scale subresource")
def test_a_replica_set_is_scaled(workloads: Workloads) -> None:
    check_scale(workloads, workloads.replica_sets, make_workload("ReplicaSet", "scaled-set", 1))


@pytest.mark.requirement("[sig-apps] ReplicationController should get and update a ReplicationController scale")
def test_a_replication_controller_is_scaled(workloads: Workloads) -> None:
    check_scale(workloads, workloads.controllers, make_controller("scaled-controller", 1))


def check_scale(workloads: Workloads, path: str, body: Object) -> None:
    """Read, replace and patch /scale, the replicas follow."""
    api, one = workloads.api, f"{path}/{body['metadata']['name']}"
    api.create(path, body)
    workloads.wait_ready(one, 1)
    scale = api.get(f"{one}/scale")
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["replicas"]) == ("Scale", 1, 1)
    scale["metadata"]["resourceVersion"] = ""  # whatever the version
    scale["spec"]["replicas"] = 2
    assert api.update(f"{one}/scale", scale)["spec"]["replicas"] == 2
    assert workloads.wait_ready(one, 2)["spec"]["replicas"] == 2
    assert api.patch(f"{one}/scale", {"spec": {"replicas": 4}})["spec"]["replicas"] == 4
    assert workloads.wait_ready(one, 4)["spec"]["replicas"] == 4
    api.delete(one)


@pytest.mark.requirement("[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones")
def test_a_rolling_update_replaces_what_was_adopted(workloads: Workloads) -> None:
    api = workloads.api
    old = make_workload("ReplicaSet", "rolling", 1)
    old["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "3546343826724305832"}
    old = api.create(workloads.replica_sets, old)
    workloads.wait_ready(f"{workloads.replica_sets}/rolling", 1)
    api.create(workloads.deployments, make_workload("Deployment", "rolling", 1, "new"))
    revision = "deployment.kubernetes.io/revision"
    workloads.wait(
        f"{workloads.deployments}/rolling",
        lambda item: (
            item["metadata"].get("annotations", {}).get(revision) == "3546343826724305833"
            and item["status"].get("updatedReplicas") == 1
            and item["status"].get("replicas") == 1
        ),
        "it has taken over, one revision further",
    )
    deployment = api.get(f"{workloads.deployments}/rolling")
    sets = {item["metadata"]["name"]: item for item in workloads.selected(workloads.replica_sets, "rolling")}
    assert len(sets) == 2
    assert all(owners(item) == [deployment["metadata"]["uid"]] for item in sets.values())
    assert sets["rolling"]["spec"]["replicas"] == 0
    assert [pod["spec"]["containers"][0]["image"] for pod in workloads.selected(workloads.pods, "rolling")] == ["new"]


@pytest.mark.requirement("[sig-apps] Deployment deployment should delete old replica sets")
def test_old_replica_sets_are_cleaned_up(workloads: Workloads) -> None:
    api = workloads.api
    api.create(workloads.replica_sets, make_workload("ReplicaSet", "cleanup", 1))
    workloads.wait_ready(f"{workloads.replica_sets}/cleanup", 1)
    api.create(workloads.deployments, make_workload("Deployment", "cleanup", 1, "new", revisionHistoryLimit=0))
    workloads.wait_ready(f"{workloads.deployments}/cleanup", 1)

    def has_one_new_set() -> bool:
        sets = workloads.selected(workloads.replica_sets, "cleanup")
        return [item["spec"]["template"]["spec"]["containers"][0]["image"] for item in sets] == ["new"]

    wait_for(has_one_new_set, "only the new ReplicaSet is left")


@pytest.mark.requirement("[sig-apps] Deployment deployment should support rollover")
def test_a_rollover(workloads: Workloads) -> None:
    """A Deployment that cannot get ready is rolled over to an image that can."""
    api, one = workloads.api, f"{workloads.deployments}/rollover"
    api.create(workloads.replica_sets, make_workload("ReplicaSet", "rollover", 1))
    workloads.wait_ready(f"{workloads.replica_sets}/rollover", 1)
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    api.create(workloads.deployments, make_workload("Deployment", "rollover", 1, "never", strategy=rolling))
    workloads.wait(
        one,
        lambda item: item["status"].get("updatedReplicas") == 1 and item["status"].get("readyReplicas") == 1,
        "stuck",
    )
    container = {"name": "main", "image": "good"}
    api.patch(one, {"spec": {"minReadySeconds": 1, "template": {"spec": {"containers": [container]}}}})
    workloads.wait(
        one,
        lambda item: (
            item["status"].get("observedGeneration") == item["metadata"]["generation"]
            and [item["status"].get(key) for key in ("updatedReplicas", "replicas", "availableReplicas")] == [1, 1, 1]
        ),
        "rolled over",
    )
    deployment = api.get(one)
    sets = workloads.selected(workloads.replica_sets, "rollover")
    replicas = {item["spec"]["template"]["spec"]["containers"][0]["image"]: item["spec"]["replicas"] for item in sets}
    assert replicas == {"nginx": 0, "never": 0, "good": 1}
    assert all(owners(item) == [deployment["metadata"]["uid"]] for item in sets)


# --- ReplicaSets ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("[sig-apps] ReplicaSet Replace and Patch tests")
def test_a_replica_set_is_replaced_and_patched(workloads: Workloads) -> None:
    api, one = workloads.api, f"{workloads.replica_sets}/replaced"
    pod = make_object("Pod", "replaced-orphan", labels={"name": "replaced"}, spec=template("replaced")["spec"])
    api.create(workloads.pods, pod)
    workloads.wait(f"{workloads.pods}/replaced-orphan", lambda item: item["status"]["phase"] == "Running", "runs")
    created = api.create(workloads.replica_sets, make_workload("ReplicaSet", "replaced", 1))
    workloads.wait_ready(one, 1)
    assert owners(api.get(f"{workloads.pods}/replaced-orphan")) == [created["metadata"]["uid"]]
    while (answer := api.request("PUT", one, replaced_replicas(api.get(one), 2)))[0] == 409:
        pass
    assert answer[0] == 200
    workloads.wait_ready(one, 2)
    container = {"name": "main", "image": "other"}
    spec = {"replicas": 3, "template": {"spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}}
    api.patch(one, {"metadata": {"labels": {"test-rs": "patched"}}, "spec": spec})
    ready = workloads.wait_ready(one, 3)
    assert ready["metadata"]["labels"]["test-rs"] == "patched"
    images = sorted(item["spec"]["containers"][0]["image"] for item in workloads.selected(workloads.pods, "replaced"))
    assert images == ["nginx", "nginx", "other"]


def replaced_replicas(item: Object, replicas: int) -> Object:
    """The object with another number of replicas."""
    item["spec"]["replicas"] = replicas
    return item


@pytest.mark.parametrize(
    ("requirement", "kind"),
    [
        ("[sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching pods", "set"),
        ("[sig-apps] ReplicationController should adopt matching pods on creation", "controller"),
        ("[sig-apps] ReplicationController should release no longer matching pods", "controller"),
    ],
)
def test_pods_are_adopted_and_released(requirement: str, kind: str, workloads: Workloads) -> None:
    api = workloads.api
    name = f"adopted-{uuid.uuid4().hex[:6]}"
    pod = make_object("Pod", f"{name}-pod", labels={"name": name}, spec=template(name)["spec"])
    api.create(workloads.pods, pod)
    path, body = workloads.replica_sets, make_workload("ReplicaSet", name, 1)
    if kind == "controller":
        path, body = workloads.controllers, make_controller(name, 1)
    uid = api.create(path, body)["metadata"]["uid"]
    one = f"{workloads.pods}/{name}-pod"
    workloads.wait(one, lambda item: owners(item) == [uid], "the Pod is adopted")
    assert len(workloads.selected(workloads.pods, name)) == 1
    api.patch(one, {"metadata": {"labels": {"name": "not-matching-name"}}})
    workloads.wait(one, lambda item: owners(item) == [], "the Pod is released")
    (replacement,) = wait_for(lambda: workloads.selected(workloads.pods, name), "another takes its place")
    assert owners(replacement) == [uid]


@pytest.mark.requirement("[sig-apps] ReplicaSet should list and delete a collection of ReplicaSets")
def test_a_collection_of_replica_sets_is_deleted(workloads: Workloads) -> None:
    api = workloads.api
    api.create(workloads.replica_sets, make_workload("ReplicaSet", "collected", 3))
    workloads.wait_ready(f"{workloads.replica_sets}/collected", 3)
    assert len(api.items("/apis/apps/v1/replicasets", "name=collected")) == 1
    api.delete(workloads.replica_sets, labelSelector="name=collected")
    assert api.items("/apis/apps/v1/replicasets", "name=collected") == []


@pytest.mark.requirement("[sig-apps] ReplicaSet should validate Replicaset Status endpoints")
def test_the_status_of_a_replica_set(workloads: Workloads) -> None:
    api, one = workloads.api, f"{workloads.replica_sets}/status"
    api.create(workloads.replica_sets, make_workload("ReplicaSet", "status", 1))
    workloads.wait_ready(one, 1)
    assert api.get(f"{one}/status")["status"]["replicas"] == 1
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
    with api.watch(workloads.replica_sets, "name=status") as events:
        while True:
            item = api.get(one)
            item["status"]["conditions"] = [*item["status"].get("conditions", ()), condition]
            status, updated = api.request("PUT", f"{one}/status", item)
            if status != 409:
                break
        assert status == 200
        assert [item["type"] for item in updated["status"]["conditions"]] == ["StatusUpdate"]
        patch = {"status": {"conditions": [condition | {"type": "StatusPatched"}]}}
        patched = api.patch(f"{one}/status", patch, MERGE_PATCH)
        assert [item["type"] for item in patched["status"]["conditions"]] == ["StatusPatched"]
        kept = [[item["type"] for item in next(events)[1]["status"]["conditions"]] for _ in range(2)]
    assert kept == [["StatusUpdate"], ["StatusPatched"]]


# --- ReplicationControllers -------------------------------------------------------------------------------------------


@pytest.mark.requirement("[sig-apps] ReplicationController should test the lifecycle of a ReplicationController")
def test_the_lifecycle_of_a_replication_controller(workloads: Workloads) -> None:
    api, path, one = workloads.api, workloads.controllers, f"{workloads.controllers}/rc-life"
    with api.watch(path, "name=rc-life") as events:
        api.create(path, make_controller("rc-life", 1))
        assert next(events)[0] == "ADDED"
        workloads.wait_ready(one, 1)
        assert api.patch(one, {"metadata": {"labels": {"rc": "patched"}}})["metadata"]["labels"]["rc"] == "patched"
        status = {"status": {"readyReplicas": 0, "availableReplicas": 0}}
        assert api.patch(f"{one}/status", status)["status"].get("readyReplicas", 0) == 0
        assert api.get(f"{one}/status")["status"]["replicas"] == 1
        api.patch(f"{one}/scale", {"spec": {"replicas": 2}})
        workloads.wait_ready(one, 2)
        while True:
            item = api.get(one)
            item["status"] |= {"availableReplicas": 1, "readyReplicas": 1}
            code, answer = api.request("PUT", f"{one}/status", item)
            if code != 409:
                break
        assert (code, answer["status"]["readyReplicas"]) == (200, 1)
        (found,) = api.items("/api/v1/replicationcontrollers", "name=rc-life,rc=patched")
        assert found["metadata"]["name"] == "rc-life"
        api.delete(path, labelSelector="name=rc-life")
        assert next(kind for kind, _ in events if kind != "MODIFIED") == "DELETED"
