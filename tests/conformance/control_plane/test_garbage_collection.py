"""Requirements of sig-api-machinery on the garbage collector: who goes with whom, and who stays."""

from __future__ import annotations

import pytest

from tests.cluster import wait_for
from tests.conformance.batch import make_object
from tests.conformance.control_plane.workloads import Workloads, make_controller, make_workload, owners, template
from tests.conformance.http_api import HttpApi

pytestmark = pytest.mark.usefixtures("nodes")


def delete_with(api: HttpApi, path: str, policy: str) -> None:
    """Delete an object with a propagation policy and its UID as precondition."""
    options = {"propagationPolicy": policy, "preconditions": {"uid": api.get(path)["metadata"]["uid"]}}
    api.expect(200, "DELETE", path, options)


def wait_until_gone(api: HttpApi, path: str) -> None:
    """Wait until there is no object at the path."""
    wait_for(lambda: api.request("GET", path)[0] == 404, f"{path} is gone")


@pytest.mark.requirement(
    "[sig-api-machinery] Garbage collector should delete RS created by deployment when not orphaning"
)
def test_what_a_deployment_owns_goes_with_it(workloads: Workloads) -> None:
    workloads.api.create(workloads.deployments, make_workload("Deployment", "collected-rs", 2))
    wait_for(lambda: workloads.selected(workloads.replica_sets, "collected-rs"), "it makes a ReplicaSet")
    delete_with(workloads.api, f"{workloads.deployments}/collected-rs", "Background")
    for path in (workloads.deployments, workloads.replica_sets, workloads.pods):
        wait_for(lambda path=path: not workloads.selected(path, "collected-rs"), f"nothing is left in {path}")


@pytest.mark.requirement(
    "[sig-api-machinery] Garbage collector should orphan RS created by deployment when deleteOptions.PropagationPolicy "
    "is Orphan"
)
def test_what_a_deployment_owns_is_orphaned(workloads: Workloads) -> None:
    workloads.api.create(workloads.deployments, make_workload("Deployment", "orphaned-rs", 2))
    workloads.wait_ready(f"{workloads.deployments}/orphaned-rs", 2)
    delete_with(workloads.api, f"{workloads.deployments}/orphaned-rs", "Orphan")
    wait_until_gone(workloads.api, f"{workloads.deployments}/orphaned-rs")
    (replica_set,) = workloads.selected(workloads.replica_sets, "orphaned-rs")
    assert owners(replica_set) == []
    assert len(workloads.selected(workloads.pods, "orphaned-rs")) == 2


@pytest.mark.requirement(
    "[sig-api-machinery] Garbage collector should orphan pods created by rc if delete options say so"
)
def test_what_a_replication_controller_owns_is_orphaned(workloads: Workloads) -> None:
    workloads.api.create(workloads.controllers, make_controller("orphaned", 10))
    workloads.wait_ready(f"{workloads.controllers}/orphaned", 10)
    delete_with(workloads.api, f"{workloads.controllers}/orphaned", "Orphan")
    wait_until_gone(workloads.api, f"{workloads.controllers}/orphaned")
    pods = workloads.selected(workloads.pods, "orphaned")
    assert [owners(pod) for pod in pods] == [[]] * 10
    assert not [pod for pod in pods if "deletionTimestamp" in pod["metadata"]]


@pytest.mark.requirement(
    "[sig-api-machinery] Garbage collector should keep the rc around until all its pods are deleted if the "
    "deleteOptions says so"
)
def test_an_owner_goes_after_its_pods(workloads: Workloads) -> None:
    api, one = workloads.api, f"{workloads.controllers}/foreground"
    body = make_controller("foreground", 10)
    body["spec"]["template"]["metadata"]["annotations"] = {"stays": "true"}
    body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 30
    api.create(workloads.controllers, body)
    workloads.wait_ready(one, 10)
    delete_with(api, one, "Foreground")
    wait_for(
        lambda: all("deletionTimestamp" in pod["metadata"] for pod in workloads.selected(workloads.pods, "foreground")),
        "all Pods are told to go",
    )
    owner = api.get(one)
    assert owner["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert len(workloads.selected(workloads.pods, "foreground")) == 10
    for pod in workloads.selected(workloads.pods, "foreground"):
        api.expect(200, "DELETE", f"{workloads.pods}/{pod['metadata']['name']}", {"gracePeriodSeconds": 0})
    wait_until_gone(api, one)


@pytest.mark.requirement(
    "[sig-api-machinery] Garbage collector should not delete dependents that have both valid owner and owner that's "
    "waiting for dependents to be deleted"
)
def test_a_dependent_stays_with_its_other_owner(workloads: Workloads) -> None:
    api = workloads.api
    for name, replicas in (("leaves", 6), ("remains", 0)):
        api.create(workloads.controllers, make_controller(name, replicas))
    workloads.wait_ready(f"{workloads.controllers}/leaves", 6)
    remaining = api.get(f"{workloads.controllers}/remains")["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ReplicationController", "name": "remains", "uid": remaining}
    pods = workloads.selected(workloads.pods, "leaves")
    shared = [pod["metadata"]["name"] for pod in pods[:3]]
    for name in shared:
        api.patch(f"{workloads.pods}/{name}", {"metadata": {"ownerReferences": [reference]}})
    delete_with(api, f"{workloads.controllers}/leaves", "Foreground")
    wait_until_gone(api, f"{workloads.controllers}/leaves")
    left = workloads.selected(workloads.pods, "leaves")
    assert sorted(pod["metadata"]["name"] for pod in left) == sorted(shared)
    assert [owners(pod) for pod in left] == [[remaining]] * 3
    assert not [pod for pod in left if "deletionTimestamp" in pod["metadata"]]


@pytest.mark.requirement("[sig-api-machinery] Garbage collector should not be blocked by dependency circle")
def test_a_circle_of_owners_goes(workloads: Workloads) -> None:
    api, names = workloads.api, ("circle-1", "circle-2", "circle-3")
    uids = {}
    for name in names:
        pod = make_object("Pod", name, labels={"name": "circle"}, spec=template("circle")["spec"])
        uids[name] = api.create(workloads.pods, pod)["metadata"]["uid"]
    for name, owner in zip(names, (*names[1:], names[0]), strict=True):
        reference = {"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": uids[owner]}
        reference |= {"controller": True, "blockOwnerDeletion": True}
        api.patch(f"{workloads.pods}/{name}", {"metadata": {"ownerReferences": [reference]}})
    delete_with(api, f"{workloads.pods}/circle-1", "Foreground")
    wait_for(lambda: not workloads.selected(workloads.pods, "circle"), "all three are gone")
