"""Requirements of sig-storage on its API: what a storage driver and its administrator write and read.

Bodies are those of a Go client, `null` and empty structures included.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster import wait_for
from tests.conformance.batch import BUSYBOX, Batch, Object, shell
from tests.conformance.http_api import MERGE_PATCH, HttpApi, RefusedRequestError
from tests.conformance.resource import Resource

pytestmark = pytest.mark.docker

STORAGE = "/apis/storage.k8s.io/v1"


def assert_is_refused(code: int, call: Callable[..., Any], *arguments: Any) -> None:
    with pytest.raises(RefusedRequestError) as refused:
        call(*arguments)
    assert refused.value.code == code


def named(name: str = "", *, prefix: str = "", **labels: str) -> Object:
    metadata: Object = {"name": name} if name else {"generateName": prefix}
    return {**metadata, "creationTimestamp": None, **({"labels": labels} if labels else {})}


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def patch_label(resource: Resource, name: str, value: str) -> None:
    patched = resource.patch(name, {"metadata": {"labels": {name: value}}})
    assert patched["metadata"]["labels"][name] == value


def update(resource: Resource, name: str, change: Callable[[Object], None], part: str = "") -> Object:
    """Read, change and write an object, again if somebody else has written it meanwhile."""
    for _ in range(10):
        current = resource.get(name)
        change(current)
        try:
            return resource.update(current, part)
        except RefusedRequestError as error:
            if error.code != 409:
                raise
    raise AssertionError(f"{name} is written by others all the time")


def update_label(resource: Resource, name: str, value: str) -> None:
    def change(current: Object) -> None:
        current["metadata"].setdefault("labels", {})[name] = value

    assert update(resource, name, change)["metadata"]["labels"][name] == value


def run_through_lifecycle(resource: Resource, first: Object, second: Object) -> None:
    """Create, read, patch, list and delete one; create another, update it and delete it with its collection."""
    created = resource.create(first)
    name = created["metadata"]["name"]
    read = resource.get(name)
    assert read["metadata"]["uid"] == created["metadata"]["uid"]
    patch_label(resource, name, "patched")
    [patched] = resource.list(f"{name}=patched")
    assert int(patched["metadata"]["resourceVersion"]) > int(read["metadata"]["resourceVersion"])
    resource.delete(name)
    wait_for(lambda: not resource.list(f"{name}=patched"), f"{name} is gone")
    name = resource.create(second)["metadata"]["name"]
    assert resource.get(name)["metadata"]["name"] == name
    update_label(resource, name, "updated")
    assert len(resource.list(f"{name}=updated")) == 1
    resource.delete_collection(f"{name}=updated")
    wait_for(lambda: not resource.list(f"{name}=updated"), f"{name} is gone")


@pytest.mark.requirement(
    "[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass"
)
def test_a_storage_class_is_created_changed_and_deleted(api: HttpApi) -> None:
    first, second = (
        {"kind": "StorageClass", "metadata": named(prefix=prefix), "provisioner": "e2e-fake-provisioner"}
        for prefix in ("e2e-", "e2e-v2-")
    )
    run_through_lifecycle(Resource(api, f"{STORAGE}/storageclasses"), first, second)


@pytest.mark.requirement(
    "[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass]"
    " should run through the lifecycle of a VolumeAttributesClass"
)
def test_a_volume_attributes_class_is_created_changed_and_deleted(api: HttpApi) -> None:
    fields = {"driverName": "e2e-fake-csi-driver", "parameters": {"foo": "bar"}}
    first, second = (
        {"kind": "VolumeAttributesClass", "metadata": named(prefix=prefix), **fields} for prefix in ("e2e-", "e2e-v2-")
    )
    run_through_lifecycle(Resource(api, f"{STORAGE}/volumeattributesclasses"), first, second)


@pytest.mark.requirement("[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode")
def test_a_csi_node_is_created_changed_and_deleted(api: HttpApi) -> None:
    first, second = ({"metadata": named(unique("csinode")), "spec": {"drivers": None}} for _ in range(2))
    run_through_lifecycle(Resource(api, f"{STORAGE}/csinodes"), first, second)


@pytest.mark.requirement("[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver")
def test_two_csi_drivers_are_created_changed_and_deleted(api: HttpApi) -> None:
    drivers = Resource(api, f"{STORAGE}/csidrivers")
    name, name_2, label = unique("inline-driver"), unique("inline-driver"), unique("e2e")
    modes = {name: ["Ephemeral"], name_2: ["Persistent", "Ephemeral"]}
    bodies = [
        {
            "metadata": named(one, **{"e2e-test": label}),
            "spec": {"volumeLifecycleModes": modes[one], "fsGroupPolicy": "ReadWriteOnceWithFSType"},
        }
        for one in modes
    ]
    uids = [drivers.create(body)["metadata"]["uid"] for body in bodies]
    assert_is_refused(409, drivers.create, bodies[0])
    assert [drivers.get(one)["metadata"]["uid"] for one in modes] == uids
    patch_label(drivers, name_2, "patched")
    update_label(drivers, name_2, "updated")
    assert len(drivers.list(f"e2e-test={label}")) == 2
    drivers.delete(name)
    assert_is_refused(404, drivers.get, name)
    drivers.delete_collection(f"{name_2}=updated")
    assert_is_refused(404, drivers.get, name_2)


@pytest.mark.requirement("[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations")
def test_csi_storage_capacities_support_every_verb(batch: Batch, api: HttpApi) -> None:
    groups = {group["name"]: group for group in api.get("/apis")["groups"]}
    group = api.get("/apis/storage.k8s.io")
    for found in (groups["storage.k8s.io"], group):
        assert "v1" in [version["version"] for version in found["versions"]]
    verbs = {item["name"]: item["verbs"] for item in api.get(STORAGE)["resources"]}
    expected = {"create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"}
    assert set(verbs["csistoragecapacities"]) == expected

    capacities = Resource(api, f"{STORAGE}/namespaces/{batch.namespace}/csistoragecapacities")
    everywhere = Resource(api, f"{STORAGE}/csistoragecapacities")
    selector = f"test={batch.namespace}"
    bodies = [
        {"metadata": named(f"csc{number}", test=batch.namespace), "storageClassName": "e2e.example.com"}
        for number in (1, 2, 3)
    ]
    created = capacities.create(bodies[0])
    assert_is_refused(409, capacities.create, bodies[0])
    capacities.create(bodies[1])
    with api.watch(capacities.path, selector) as own, api.watch(everywhere.path, selector) as all_events:
        capacities.create(bodies[2])
        assert capacities.get("csc1")["metadata"]["uid"] == created["metadata"]["uid"]
        assert [len(resource.list(selector)) for resource in (capacities, everywhere)] == [3, 3]
        patch = {"metadata": {"annotations": {"patched": "true"}}}
        patched = capacities.patch("csc1", patch, content_type=MERGE_PATCH)
        assert patched["metadata"]["annotations"] == {"patched": "true"}
        patched["metadata"]["annotations"]["updated"] = "true"
        assert capacities.update(patched)["metadata"]["annotations"] == {"patched": "true", "updated": "true"}
        for events in (own, all_events):
            seen = [next(events) for _ in range(3)]
            names = [(kind, obj["metadata"]["name"]) for kind, obj in seen]
            assert names == [("ADDED", "csc3"), ("MODIFIED", "csc1"), ("MODIFIED", "csc1")]
            annotations = [obj["metadata"]["annotations"] for _, obj in seen[1:]]
            assert annotations == [{"patched": "true"}, {"patched": "true", "updated": "true"}]
    capacities.delete("csc1")
    assert_is_refused(404, capacities.get, "csc1")
    assert len(capacities.list(selector)) == 2
    capacities.delete_collection(selector)
    assert capacities.list(selector) == []


def make_attachment(node_name: str) -> Object:
    name = unique("va-e2e")
    source = {"persistentVolumeName": f"pv-{name}"}
    spec = {"attacher": "e2e-test.storage.k8s.io", "source": source, "nodeName": node_name}
    return {"metadata": {**named(name), "uid": name}, "spec": spec, "status": {"attached": False}}


@pytest.fixture(scope="module")
def node_name(batch: Batch) -> str:
    name: str = batch.get("nodes")["items"][0]["metadata"]["name"]
    return name


@pytest.mark.requirement(
    "[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment"
)
def test_a_volume_attachment_is_created_changed_and_deleted(api: HttpApi, node_name: str) -> None:
    attachments = Resource(api, f"{STORAGE}/volumeattachments")
    run_through_lifecycle(attachments, make_attachment(node_name), make_attachment(node_name))


@pytest.mark.requirement("[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status")
def test_the_status_of_a_volume_attachment_is_read_and_changed(api: HttpApi, node_name: str) -> None:
    attachments = Resource(api, f"{STORAGE}/volumeattachments")
    body = make_attachment(node_name)
    name = body["metadata"]["name"]
    assert attachments.create(body)["metadata"]["name"] == name
    patched = attachments.patch(name, {"metadata": {"labels": {name: "patched"}}}, content_type=MERGE_PATCH)
    assert patched["metadata"]["labels"] == {name: "patched"}
    assert attachments.get(name, "status")["status"] == {"attached": False}
    attached = attachments.patch(name, {"status": {"attached": True}}, "status", content_type=MERGE_PATCH)
    assert attached["status"] == {"attached": True}
    detached = update(attachments, name, lambda current: current["status"].update(attached=False), "status")
    assert detached["status"] == {"attached": False}
    attachments.delete(name)
    assert attachments.list(f"{name}=patched") == []


def make_volume_and_claim(class_name: str) -> tuple[Object, Object]:
    """A volume of a driver that nobody runs, and a claim that it fits."""
    modes = {"accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"], "storageClassName": class_name}
    volume_spec = {
        "capacity": {"storage": "2Gi"},
        "csi": {"driver": unique("e2e-driver"), "volumeHandle": "e2e-conformance"},
        "persistentVolumeReclaimPolicy": "Retain",
        **modes,
    }
    metadata = named(prefix=f"{class_name}-", **{"e2e-pv-pool": class_name})
    volume = {"metadata": metadata, "spec": volume_spec, "status": {}}
    claim_spec = {"resources": {"requests": {"storage": "1Gi"}}, **modes}
    return volume, {"metadata": named(prefix="pvc-"), "spec": claim_spec, "status": {}}


@pytest.mark.requirement(
    "[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC"
)
def test_a_volume_and_its_claim_are_created_changed_and_deleted(batch: Batch, api: HttpApi) -> None:
    volumes = Resource(api, "/api/v1/persistentvolumes")
    claims = Resource(api, f"/api/v1/namespaces/{batch.namespace}/persistentvolumeclaims")
    class_name = unique(batch.namespace)
    for change, deletes in ((patch_label, Resource.delete), (update_label, Resource.delete_collection)):
        volume, claim = make_volume_and_claim(class_name)
        names = {volumes: volumes.create(volume)["metadata"]["name"], claims: claims.create(claim)["metadata"]["name"]}
        assert [item["metadata"]["name"] for item in volumes.list(f"e2e-pv-pool={class_name}")] == [names[volumes]]
        for resource, name in names.items():
            before = resource.get(name)
            change(resource, name, "changed")
            after = resource.get(name)
            assert after["metadata"]["uid"] == before["metadata"]["uid"]
            assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
        for resource in (claims, volumes):
            selector = f"{names[resource]}=changed"
            deletes(resource, names[resource] if deletes is Resource.delete else selector)
            wait_for(lambda one=resource, selector=selector: not one.list(selector), "it is gone")


@pytest.mark.requirement("[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status")
def test_the_status_of_a_volume_and_of_its_claim_is_read_and_changed(batch: Batch, api: HttpApi) -> None:
    volumes = Resource(api, "/api/v1/persistentvolumes")
    claims = Resource(api, f"/api/v1/namespaces/{batch.namespace}/persistentvolumeclaims")
    volume, claim = make_volume_and_claim(batch.namespace)
    volume_name = volumes.create(volume)["metadata"]["name"]
    claim_name = claims.create(claim)["metadata"]["name"]
    selector = f"e2e-pv-pool={batch.namespace}"
    assert [item["metadata"]["name"] for item in volumes.list(selector)] == [volume_name]
    assert claim_name in [item["metadata"]["name"] for item in claims.list()]
    wait_for(lambda: claims.get(claim_name, "status")["status"]["phase"] == "Bound", "the claim is bound")
    wait_for(lambda: volumes.get(volume_name, "status")["status"]["phase"] == "Bound", "the volume is bound")

    def condition(type_: str) -> Object:
        return {"type": type_, "status": "True", "reason": "E2E", "message": "Set from e2e test"}

    def words_of(claim: Object) -> list[Object]:
        return [{key: value for key, value in item.items() if value} for item in claim["status"]["conditions"]]

    patch = {"status": {"conditions": [condition("StatusPatched")]}}
    patched_claim = claims.patch(claim_name, patch, "status", content_type=MERGE_PATCH)
    assert words_of(patched_claim) == [condition("StatusPatched")]
    words = {"message": "StatusPatched", "reason": "E2E patchStatus"}
    patched_volume = volumes.patch(volume_name, {"status": words}, "status", content_type=MERGE_PATCH)
    assert words.items() <= patched_volume["status"].items()

    def add_condition(current: Object) -> None:
        current["status"]["conditions"].append({**condition("StatusUpdated"), "lastProbeTime": None})

    updated = update(claims, claim_name, add_condition, "status")
    assert words_of(updated) == [condition("StatusPatched"), condition("StatusUpdated")]
    words = {"message": "StatusUpdated", "reason": "E2E updateStatus"}
    status = update(volumes, volume_name, lambda current: current["status"].update(words), "status")["status"]
    assert words.items() <= status.items()

    claims.delete(claim_name)
    volumes.delete(volume_name)
    wait_for(lambda: not volumes.list(selector), "the volume is gone")
    wait_for(lambda: claim_name not in [item["metadata"]["name"] for item in claims.list()], "the claim is gone")


@pytest.mark.requirement("[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API")
def test_a_pod_with_inline_volumes_of_a_driver_is_created_changed_and_deleted(batch: Batch, api: HttpApi) -> None:
    pods = Resource(api, f"/api/v1/namespaces/{batch.namespace}/pods")
    driver = {"driver": "e2e.example.com"}
    volumes = [{"name": "vol1", "csi": driver}, {"name": "vol2", "csi": {**driver, "readOnly": True, "fsType": "ext4"}}]
    mounts = [{"name": name, "mountPath": f"/mnt/{name}"} for name in ("vol1", "vol2")]
    container = {"name": "main", "image": BUSYBOX, "resources": {}, **shell("ls /mnt/*", volumeMounts=mounts)}
    spec = {"volumes": volumes, "containers": [container]}
    body = {"metadata": named("csi", test="csi"), "spec": spec, "status": {}}
    created = pods.create(body)
    assert_is_refused(409, pods.create, body)
    assert pods.get("csi")["metadata"]["uid"] == created["metadata"]["uid"]
    assert len(pods.list("test=csi")) == 1
    assert created["spec"]["volumes"][:2] == volumes
    patched = pods.patch("csi", {"metadata": {"annotations": {"patched": "true"}}}, content_type=MERGE_PATCH)
    assert patched["metadata"]["annotations"]["patched"] == "true"

    wait_for(
        lambda: [
            event
            for event in batch.events("csi")
            if event["type"] == "Warning" and "e2e.example.com" in event["message"]
        ],
        "the node says that it has no such driver",
    )
    assert pods.get("csi")["status"]["phase"] == "Pending"
    pods.delete("csi")
    wait_for(lambda: not pods.list("test=csi"), "the Pod is gone")
    wait_for(lambda: not batch.cluster.containers("csi", everything=True), "nothing is left of it")
