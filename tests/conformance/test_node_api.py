"""Requirements of sig-node on the API alone: what becomes of objects when they are written, read and deleted."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from tests.conformance.batch import Batch, Object, make_object, make_pod
from tests.conformance.http_api import MERGE_PATCH, HttpApi

pytestmark = pytest.mark.docker

TEMPLATE = {"spec": {"containers": [{"name": "nginx", "image": "nginx"}]}}


# --- Lease ------------------------------------------------------------------------------------------------------------


def lease_spec(holder: str, seconds: int, transitions: int) -> Object:
    """Times as Go's zero time plus some seconds, as far from today as a MicroTime gets."""
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": 30,
        "acquireTime": f"0001-01-01T00:00:{seconds:02}.000000Z",
        "renewTime": f"0001-01-01T00:00:{seconds + 9}.000000Z",
        "leaseTransitions": transitions,
    }


def make_lease(name: str, spec: Object, **metadata: Any) -> Object:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


@pytest.mark.requirement("[sig-node] Lease lease API should be available")
def test_lease_api_should_be_available(batch: Batch, api: HttpApi) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{batch.namespace}/leases"
    first, second, third = (
        lease_spec(*values) for values in (("holder", 2, 0), ("holder2", 20, 1), ("holder3", 50, 2))
    )
    created = api.create(path, make_lease("lease", first))
    assert api.get(f"{path}/lease")["spec"] == first
    api.update(f"{path}/lease", created | {"spec": second})
    assert api.get(f"{path}/lease")["spec"] == second
    api.patch(f"{path}/lease", {"spec": third})
    assert api.get(f"{path}/lease")["spec"] == third
    api.create(path, make_lease("lease2", first, labels={"deletecollection": "true"}))
    assert [item["metadata"]["name"] for item in api.get(path)["items"]] == ["lease", "lease2"]
    api.delete(path, labelSelector="deletecollection=true")
    assert [item["metadata"]["name"] for item in api.get(path)["items"]] == ["lease"]
    api.delete(f"{path}/lease")
    assert api.expect(404, "GET", f"{path}/lease")["reason"] == "NotFound"
    everywhere = api.get("/apis/coordination.k8s.io/v1/leases")["items"]
    assert {item["metadata"]["namespace"] for item in everywhere} >= {"kube-node-lease"}


# --- Node -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("[sig-node] Node Lifecycle should run through the lifecycle of a node")
def test_node_lifecycle_should_run_through_the_lifecycle_of_a_node(batch: Batch, api: HttpApi) -> None:
    name = f"fake-{batch.namespace}"
    path = f"/api/v1/nodes/{name}"
    ready = {"type": "Ready", "status": "True", "reason": "E2E", "message": "Set from a test"}
    status = {"phase": "Running", "conditions": [ready]}
    created = api.create("/api/v1/nodes", make_object("Node", name, spec={"unschedulable": True}, status=status))
    assert api.get(path)["metadata"]["uid"] == created["metadata"]["uid"]
    patched = api.patch(path, {"metadata": {"labels": {name: "patched"}}})
    assert patched["metadata"]["labels"][name] == "patched"
    assert int(patched["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])
    (listed,) = api.items("/api/v1/nodes", f"{name}=patched")
    while True:
        listed["metadata"]["labels"][name] = "updated"
        code, updated = api.request("PUT", path, listed)
        if code != 409:
            break
        listed = api.get(path)  # the controllers write Nodes too
    assert (code, updated["metadata"]["labels"][name]) == (200, "updated")
    api.delete(path)
    assert api.expect(404, "GET", path)["reason"] == "NotFound"


# --- PodTemplate, ConfigMap, Secret -----------------------------------------------------------------------------------


@pytest.mark.requirement("[sig-node] PodTemplates should run the lifecycle of PodTemplates")
def test_podtemplates_should_run_the_lifecycle_of_podtemplates(batch: Batch, api: HttpApi) -> None:
    selector = f"podtemplate-static={batch.namespace}"
    assert api.items("/api/v1/podtemplates", selector) == []
    labels = {"podtemplate-static": batch.namespace}
    api.create(batch.path("podtemplates"), make_object("PodTemplate", "life", labels=labels, template=TEMPLATE))
    path = batch.path("podtemplates/life")
    assert api.get(path)["template"]["spec"]["containers"][0]["image"] == "nginx"
    api.patch(path, {"metadata": {"labels": {"podtemplate": "patched"}}})
    assert api.get(path)["metadata"]["labels"] == labels | {"podtemplate": "patched"}
    (listed,) = api.items("/api/v1/podtemplates", f"{selector},podtemplate=patched")
    assert listed["metadata"]["name"] == "life"
    api.delete(path)
    assert api.items("/api/v1/podtemplates", selector) == []


@pytest.mark.requirement("[sig-node] PodTemplates should delete a collection of pod templates")
def test_podtemplates_should_delete_a_collection_of_pod_templates(batch: Batch, api: HttpApi) -> None:
    path = batch.path("podtemplates")
    for name in ("set-1", "set-2", "set-3"):
        labels = {"podtemplate-set": "true"}
        api.create(path, make_object("PodTemplate", name, labels=labels, template=TEMPLATE))
    api.create(path, make_object("PodTemplate", "other", template=TEMPLATE))
    assert len(api.items(path, "podtemplate-set=true")) == 3
    api.delete(path, labelSelector="podtemplate-set=true")
    assert api.items(path, "podtemplate-set=true") == []
    assert [item["metadata"]["name"] for item in api.get(path)["items"]] == ["other"]


@pytest.mark.requirement("[sig-node] PodTemplates should replace a pod template")
def test_podtemplates_should_replace_a_pod_template(batch: Batch, api: HttpApi) -> None:
    created = api.create(batch.path("podtemplates"), make_object("PodTemplate", "replaced", template=TEMPLATE))
    created["metadata"]["annotations"] = {"updated": "true"}
    path = batch.path("podtemplates/replaced")
    assert api.update(path, created)["metadata"]["annotations"] == {"updated": "true"}
    assert api.get(path)["metadata"]["annotations"] == {"updated": "true"}


@pytest.mark.requirement("[sig-node] ConfigMap should update ConfigMap successfully")
def test_configmap_should_update_configmap_successfully(batch: Batch, api: HttpApi) -> None:
    created = api.create(batch.path("configmaps"), make_object("ConfigMap", "updated", data={"data-1": "value-1"}))
    created["data"] = {"data": "value"}
    path = batch.path("configmaps/updated")
    api.update(path, created)
    assert api.get(path)["data"] == {"data": "value"}


@pytest.mark.requirement("[sig-node] ConfigMap should run through a ConfigMap lifecycle")
def test_configmap_should_run_through_a_configmap_lifecycle(batch: Batch, api: HttpApi) -> None:
    path, selector = batch.path("configmaps"), "test-configmap-static=true"
    labels = {"test-configmap-static": "true"}
    api.create(path, make_object("ConfigMap", "life", labels=labels, data={"valueName": "value"}))
    with api.watch(path, selector) as events:
        api.patch(f"{path}/life", {"metadata": {"labels": {"test-configmap": "patched"}}, "data": {"valueName": "new"}})
        kind, seen = next(events)
        assert (kind, seen["data"], seen["metadata"]["labels"]["test-configmap"]) == (
            "MODIFIED",
            {"valueName": "new"},
            "patched",
        )
        assert api.get(f"{path}/life")["data"] == {"valueName": "new"}
        listed = [item["metadata"]["name"] for item in api.items("/api/v1/configmaps", selector)]
        assert listed == ["life"]
        api.delete(path, labelSelector=selector)
        assert next(events)[0] == "DELETED"
    assert api.items(path, selector) == []


@pytest.mark.requirement("[sig-node] ConfigMap should fail to create ConfigMap with empty key")
def test_configmap_should_fail_to_create_configmap_with_empty_key(batch: Batch, api: HttpApi) -> None:
    answer = api.expect(422, "POST", batch.path("configmaps"), make_object("ConfigMap", "empty-key", data={"": "v"}))
    assert 'data[]: Invalid value: ""' in answer["message"]


@pytest.mark.requirement("[sig-node] Secrets should patch a secret")
def test_secrets_should_patch_a_secret(batch: Batch, api: HttpApi) -> None:
    path = batch.path("secrets")
    constant = f"testsecret-constant={batch.namespace}"
    labels = {"testsecret-constant": batch.namespace}
    api.create(path, make_object("Secret", "patched", labels=labels, type="Opaque", data={"key": "dmFsdWU="}))
    assert [item["metadata"]["name"] for item in api.items("/api/v1/secrets", constant)] == ["patched"]
    data = b64encode(b"value1").decode()
    api.patch(f"{path}/patched", {"metadata": {"labels": {"testsecret": "true"}}, "data": {"key": data}})
    got = api.get(f"{path}/patched")
    assert (got["data"], got["metadata"]["labels"]) == ({"key": data}, labels | {"testsecret": "true"})
    api.delete(path, labelSelector="testsecret=true")
    assert api.items("/api/v1/secrets", constant) == []


@pytest.mark.requirement("[sig-node] Secrets should fail to create secret due to empty secret key")
def test_secrets_should_fail_to_create_secret_due_to_empty_secret_key(batch: Batch, api: HttpApi) -> None:
    answer = api.expect(422, "POST", batch.path("secrets"), make_object("Secret", "empty-key", data={"": "dmFsdWU="}))
    assert 'data[]: Invalid value: ""' in answer["message"]


# --- RuntimeClass, sysctls --------------------------------------------------------------------------------------------

RUNTIME_CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"


def make_runtime_class(name: str, **fields: Any) -> Object:
    return {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, **fields}


@pytest.mark.requirement("[sig-node] RuntimeClass should support RuntimeClasses API operations")
def test_runtimeclass_should_support_runtimeclasses_api_operations(batch: Batch, api: HttpApi) -> None:
    groups = {group["name"]: group for group in api.get("/apis")["groups"]}
    assert "v1" in [version["version"] for version in groups["node.k8s.io"]["versions"]]
    assert "v1" in [version["version"] for version in api.get("/apis/node.k8s.io")["versions"]]
    assert "runtimeclasses" in [resource["name"] for resource in api.get("/apis/node.k8s.io/v1")["resources"]]

    selector = f"test={batch.namespace}"
    classes = []
    for number in (1, 2, 3):
        classes.append(make_runtime_class(f"{batch.namespace}-{number}", handler=f"{batch.namespace}-handler-{number}"))
        classes[-1]["metadata"]["labels"] = {"test": batch.namespace}
    created = api.create(RUNTIME_CLASSES, classes[0])
    assert api.expect(409, "POST", RUNTIME_CLASSES, classes[0])["reason"] == "AlreadyExists"
    api.create(RUNTIME_CLASSES, classes[1])
    path = f"{RUNTIME_CLASSES}/{created['metadata']['name']}"
    with api.watch(RUNTIME_CLASSES, selector) as events:
        api.create(RUNTIME_CLASSES, classes[2])
        assert api.get(path)["metadata"]["uid"] == created["metadata"]["uid"]
        assert len(api.items(RUNTIME_CLASSES, selector)) == 3
        patched = api.patch(path, {"metadata": {"annotations": {"patched": "true"}}}, MERGE_PATCH)
        patched["metadata"]["annotations"]["updated"] = "true"
        updated = api.update(path, patched)
        assert updated["metadata"]["annotations"] == {"patched": "true", "updated": "true"}
        seen = [next(events) for _ in range(3)]
    assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED", "MODIFIED"]
    assert seen[1][1]["metadata"]["annotations"] == {"patched": "true"}
    assert seen[2][1]["metadata"]["annotations"] == {"patched": "true", "updated": "true"}
    api.delete(path)
    assert api.expect(404, "GET", path)["reason"] == "NotFound"
    assert len(api.items(RUNTIME_CLASSES, selector)) == 2
    api.delete(RUNTIME_CLASSES, labelSelector=selector)
    assert api.items(RUNTIME_CLASSES, selector) == []


def check_rejection(batch: Batch, api: HttpApi, runtime_class: str) -> None:
    """A Pod of this RuntimeClass is refused in upstream's words."""
    pod = make_pod("rejected", {}, runtimeClassName=runtime_class)
    answer = api.expect(403, "POST", batch.path("pods"), pod)
    assert answer["message"] == (
        f'pods "rejected" is forbidden: pod rejected: RuntimeClass "{runtime_class}" not found'
    )


@pytest.mark.requirement("[sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass")
def test_runtimeclass_should_reject_a_pod_requesting_a_non_existent_runtimeclass(batch: Batch, api: HttpApi) -> None:
    check_rejection(batch, api, f"{batch.namespace}-nonexistent")


@pytest.mark.requirement("[sig-node] RuntimeClass should reject a Pod requesting a deleted RuntimeClass")
def test_runtimeclass_should_reject_a_pod_requesting_a_deleted_runtimeclass(batch: Batch, api: HttpApi) -> None:
    name = f"{batch.namespace}-delete-me"
    api.create(RUNTIME_CLASSES, make_runtime_class(name, handler="runc"))
    api.expect(201, "POST", batch.path("pods"), make_pod("accepted", {}, runtimeClassName=name), dryRun="All")
    api.delete(f"{RUNTIME_CLASSES}/{name}")
    api.expect(404, "GET", f"{RUNTIME_CLASSES}/{name}")
    check_rejection(batch, api, name)


@pytest.mark.requirement("[sig-node] Sysctls [LinuxOnly] [NodeConformance] should reject invalid sysctls")
def test_sysctls_should_reject_invalid_sysctls(batch: Batch, api: HttpApi) -> None:
    values = {"foo-": "bar", "kernel.shmmax": "100000000", "safe-and-unsafe": "100000000", "bar..": "42"}
    sysctls = [{"name": name, "value": value} for name, value in values.items()]
    answer = api.expect(422, "POST", batch.path("pods"), make_pod("sysctls", {}, securityContext={"sysctls": sysctls}))
    assert 'Invalid value: "foo-"' in answer["message"]
    assert 'Invalid value: "bar.."' in answer["message"]
    assert "safe-and-unsafe" not in answer["message"]
    assert "kernel.shmmax" not in answer["message"]


# --- Pod status -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement(
    "[sig-node] Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits for "
    "memory and cpu"
)
def test_qos_class_should_be_set_on_pods_with_matching_requests_and_limits(batch: Batch, api: HttpApi) -> None:
    amounts = {"cpu": "100m", "memory": "100Mi"}
    pod = make_pod("guaranteed", {"resources": {"requests": amounts, "limits": amounts}}, nodeSelector={"none": "such"})
    api.create(batch.path("pods"), pod)
    assert api.get(batch.path("pods/guaranteed"))["status"]["qosClass"] == "Guaranteed"
