"""Requirements of sig-api-machinery on namespaces: writes, finalizers, and what goes with them in which order."""

from __future__ import annotations

import uuid

import pytest

from tests.cluster import wait_for
from tests.conformance.batch import Object, make_object
from tests.conformance.control_plane.played_nodes import PlayedNodes
from tests.conformance.http_api import MERGE_PATCH, HttpApi

TEMPLATE = {"spec": {"containers": [{"name": "test", "image": "test2"}]}}


def version_of(item: Object) -> str:
    """The resourceVersion of an object."""
    version: str = item["metadata"]["resourceVersion"]
    return version


def make_namespace(api: HttpApi) -> str:
    """A namespace of a test's own; returns its path."""
    name = f"conformance-{uuid.uuid4().hex[:8]}"
    api.create("/api/v1/namespaces", make_object("Namespace", name))
    return f"/api/v1/namespaces/{name}"


def conditions_of(api: HttpApi, path: str) -> dict[str, str]:
    """Messages of a terminating namespace's conditions by type."""
    return {item["type"]: item["message"] for item in api.get(path)["status"].get("conditions", ())}


def wait_until_gone(api: HttpApi, path: str) -> None:
    """Wait until there is no object at the path."""
    wait_for(lambda: api.request("GET", path)[0] == 404, f"{path} is gone")


@pytest.mark.requirement("[sig-api-machinery] Namespaces [Serial] should apply an update to a Namespace")
def test_a_namespace_is_updated(api: HttpApi) -> None:
    path = make_namespace(api)
    namespace = api.get(path)
    namespace["metadata"]["labels"]["updated"] = "yes"
    while api.request("PUT", path, namespace)[0] == 409:
        namespace["metadata"]["resourceVersion"] = version_of(api.get(path))
    assert api.get(path)["metadata"]["labels"]["updated"] == "yes"
    api.delete(path)


@pytest.mark.requirement("[sig-api-machinery] Namespaces [Serial] should apply changes to a namespace status")
def test_the_status_of_a_namespace_is_changed(api: HttpApi) -> None:
    path = make_namespace(api)
    assert api.get(f"{path}/status")["status"]["phase"] == "Active"
    condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "Patched by an e2e test"}
    patch = {"metadata": {"annotations": {"e2e-patched-ns-status": "yes"}}, "status": {"conditions": [condition]}}
    patched = api.patch(f"{path}/status", patch, MERGE_PATCH)
    assert patched["metadata"]["annotations"] == {"e2e-patched-ns-status": "yes"}
    assert [item["type"] for item in patched["status"]["conditions"]] == ["StatusPatch"]
    patched["status"]["conditions"].append(condition | {"type": "StatusUpdate"})
    updated = api.update(f"{path}/status", patched)
    assert [item["type"] for item in updated["status"]["conditions"]] == ["StatusPatch", "StatusUpdate"]
    api.delete(path)


@pytest.mark.requirement("[sig-api-machinery] Namespaces [Serial] should apply a finalizer to a Namespace")
def test_a_finalizer_holds_a_namespace(api: HttpApi) -> None:
    path = make_namespace(api)
    namespace = api.get(path)
    finalizer = "e2e.example.com/fakeFinalizer"
    namespace["spec"]["finalizers"].append(finalizer)
    while (answer := api.request("PUT", f"{path}/finalize", namespace))[0] == 409:
        namespace["metadata"]["resourceVersion"] = version_of(api.get(path))
    assert answer[1]["spec"]["finalizers"] == ["kubernetes", finalizer]
    api.delete(path)
    wait_for(lambda: api.get(path)["spec"]["finalizers"] == [finalizer], "the controller has done its part")
    assert api.get(path)["status"]["phase"] == "Terminating"
    namespace = api.get(path)
    namespace["spec"]["finalizers"] = []
    api.expect(200, "PUT", f"{path}/finalize", namespace)
    wait_until_gone(api, path)


@pytest.mark.requirement(
    "[sig-api-machinery] Namespaces [Serial] should ensure that all services are removed when a namespace is deleted"
)
def test_services_go_with_their_namespace(api: HttpApi) -> None:
    path = make_namespace(api)
    service = make_object("Service", "test-service", spec={"selector": {"a": "b"}, "ports": [{"port": 80}]})
    wait_for(lambda: api.request("GET", f"{path}/serviceaccounts/default")[0] == 200, "the default ServiceAccount")
    api.create(f"{path}/services", service)
    api.delete(path)
    wait_until_gone(api, path)
    api.create("/api/v1/namespaces", make_object("Namespace", path.rpartition("/")[2]))
    api.expect(404, "GET", f"{path}/services/test-service")
    api.delete(path)


@pytest.mark.requirement(
    "[sig-api-machinery] Namespaces [Serial] should ensure that all pods are removed when a namespace is deleted"
)
def test_pods_go_with_their_namespace(api: HttpApi, nodes: PlayedNodes) -> None:
    path = make_namespace(api)
    wait_for(lambda: api.request("GET", f"{path}/serviceaccounts/default")[0] == 200, "the default ServiceAccount")
    api.create(f"{path}/pods", make_object("Pod", "test-pod", **TEMPLATE))
    wait_for(lambda: api.get(f"{path}/pods/test-pod")["status"]["phase"] == "Running", "the Pod runs")
    api.delete(path)
    wait_until_gone(api, path)
    api.create("/api/v1/namespaces", make_object("Namespace", path.rpartition("/")[2]))
    api.expect(404, "GET", f"{path}/pods/test-pod")
    api.delete(path)


@pytest.mark.requirement("[sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first")
def test_pods_are_deleted_first(api: HttpApi, nodes: PlayedNodes) -> None:
    path = make_namespace(api)
    wait_for(lambda: api.request("GET", f"{path}/serviceaccounts/default")[0] == 200, "the default ServiceAccount")
    pod = make_object("Pod", "held", **TEMPLATE)
    pod["metadata"]["finalizers"] = ["e2e.example.com/finalizer"]
    api.create(f"{path}/pods", pod)
    api.create(f"{path}/configmaps", make_object("ConfigMap", "waits"))
    wait_for(lambda: api.get(f"{path}/pods/held")["status"]["phase"] == "Running", "the Pod runs")
    api.delete(path)

    wait_for(lambda: "deletionTimestamp" in api.get(f"{path}/pods/held")["metadata"], "the Pod is being deleted")
    told = wait_for(lambda: conditions_of(api, path), "the controller tells what it has seen")
    assert "NamespaceDeletionContentFailure" in told
    assert "pods. has 1 resource instances" in told["NamespaceContentRemaining"]
    assert "deletionTimestamp" not in api.get(f"{path}/configmaps/waits")["metadata"]
    api.patch(f"{path}/pods/held", {"metadata": {"finalizers": None}}, MERGE_PATCH)
    wait_until_gone(api, path)
