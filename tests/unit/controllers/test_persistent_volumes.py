"""Claims and volumes find one another, local volumes are made and removed, claims grow."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from control.api.objects import Object
from control.client.view import View
from control.client.writes import Create, CreateSubresource, Delete, Notice, Result, Update
from control.controllers.persistent_volume import claims, ephemeral, expansion, local_provisioner, volumes
from tests.unit.controllers.builders import NOW, make_object

LOCAL = "podling.io/local"
BOUND = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}


def make_claim(*, annotations: Any = None, phase: str = "Pending", metadata: Any = None, **spec: Any) -> Object:
    return make_object(
        "v1",
        "PersistentVolumeClaim",
        "c",
        "n",
        metadata={"uid": "u-c", "annotations": annotations or {}, **(metadata or {})},
        spec={
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "x",
            **spec,
        },
        status={"phase": phase},
    )


def make_volume(*, annotations: Any = None, phase: str = "Available", metadata: Any = None, **spec: Any) -> Object:
    return make_object(
        "v1",
        "PersistentVolume",
        "v",
        None,
        metadata={"annotations": annotations or {}, **(metadata or {})},
        spec={
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "2Gi"},
            "storageClassName": "x",
            "persistentVolumeReclaimPolicy": "Retain",
            **spec,
        },
        status={"phase": phase},
    )


def make_pod(name: str, *, node: str = "", claim: str = "c", phase: str = "Pending") -> Object:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]
    return make_object("v1", "Pod", name, "n", spec={"nodeName": node, "volumes": volumes}, status={"phase": phase})


def make_class(mode: str = "Immediate", provisioner: str = LOCAL, name: str = "x") -> Object:
    return make_object("storage.k8s.io/v1", "StorageClass", name, None, provisioner=provisioner, volumeBindingMode=mode)


def make_node(name: str = "n1", *, root: str = "/data", ready: str = "True") -> Object:
    annotations = {"podling.io/volume-root": root} if root else {}
    metadata = {"labels": {"kubernetes.io/hostname": name}, "annotations": annotations}
    return make_object(
        "v1", "Node", name, None, metadata=metadata, status={"conditions": [{"type": "Ready", "status": ready}]}
    )


REFERENCE = {"namespace": "n", "name": "c", "uid": "u-c"}


def decide_claim(claim: Object, *others: Object) -> Result:
    return claims.reconcile_claim("n/c", view_of(claim, *others), NOW)


def decide_volume(volume: Object, *others: Object) -> Result:
    return volumes.reconcile_volume("v", view_of(volume, *others), NOW)


def view_of(*objects: Object) -> View:
    kinds = {kind.kind: kind for kind in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES, NODES, PODS)}
    return View.of({kind: [one for one in objects if one["kind"] == name] for name, kind in kinds.items()})


def notices(result: Result) -> list[tuple[str, str, str]]:
    return [(step.type, step.reason, step.message) for step in result.steps if isinstance(step, Notice)]


def the_update(result: Result, subresource: str = "") -> Object:
    (update,) = (step for step in result.steps if isinstance(step, Update))
    assert update.subresource == subresource
    return dict(update.obj)


# --- claims -----------------------------------------------------------------------------------------------------------


def test_a_claim_and_a_volume_are_bound_in_three_writes() -> None:
    claim, volume = make_claim(), make_volume()
    volume = the_update(decide_claim(claim, volume))
    assert volume["spec"]["claimRef"]["uid"] == "u-c"
    claim = the_update(decide_claim(claim, volume))
    assert (claim["spec"]["volumeName"], claim["metadata"]["annotations"]) == ("v", BOUND)
    claim = the_update(decide_claim(claim, volume), "status")
    assert claim["status"] == {
        "phase": "Bound",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "2Gi"},
    }
    volume = the_update(decide_volume(volume, claim), "status")
    assert volume["status"]["phase"] == "Bound"
    assert not decide_claim(claim, volume).steps
    assert not decide_volume(volume, claim).steps


NO_CLASS = 'storageclass.storage.k8s.io "x" not found'
NO_VOLUME = "no persistent volumes available for this claim and no storage class is set"


@pytest.mark.parametrize(
    ("claim", "others", "expected"),
    [
        pytest.param(
            make_claim(),
            [],
            ("Warning", "ProvisioningFailed", 'storageclass.storage.k8s.io "x" not found'),
            id="no class",
        ),
        pytest.param(make_claim(storageClassName=""), [], ("Normal", "FailedBinding", NO_VOLUME), id="no class wanted"),
        pytest.param(
            make_claim(),
            [make_class("WaitForFirstConsumer"), make_volume()],
            ("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding"),
            id="binds late",
        ),
        pytest.param(
            make_claim(),
            [make_class("WaitForFirstConsumer"), make_pod("a"), make_pod("b", node="n1"), make_pod("c", claim="other")],
            ("Normal", "WaitForPodScheduled", "waiting for pod a to be scheduled"),
            id="binds late, and a Pod has come",
        ),
        pytest.param(
            make_claim(),
            [make_class("WaitForFirstConsumer"), make_pod("b"), make_pod("a"), make_pod("c", phase="Failed")],
            ("Normal", "WaitForPodScheduled", "waiting for pods a,b to be scheduled"),
            id="binds late, and Pods have come",
        ),
        pytest.param(
            make_claim(),
            [make_class(provisioner="kubernetes.io/no-provisioner")],
            ("Warning", "ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner"),
            id="a class without provisioner",
        ),
        pytest.param(
            make_claim(volumeName="v", annotations={"pv.kubernetes.io/bound-by-controller": "yes"}),
            [make_volume(claimRef={**REFERENCE, "name": "d"})],
            ("Warning", "FailedBinding", 'volume "v" already bound to a different claim.'),
            id="was bound to a volume of another claim",
        ),
        pytest.param(
            make_claim(volumeName="v"),
            [make_volume(storageClassName="y")],
            ("Warning", "VolumeMismatch", 'Cannot bind to requested volume "v": storageClassName does not match'),
            id="names a volume that does not fit",
        ),
        pytest.param(
            make_claim(volumeName="v"),
            [make_volume(claimRef={**REFERENCE, "name": "d"})],
            ("Warning", "FailedBinding", 'volume "v" already bound to a different claim.'),
            id="names a volume of another claim",
        ),
    ],
)
def test_a_claim_that_cannot_be_bound_says_why(claim: Object, others: list[Object], expected: Any) -> None:
    result = decide_claim(claim, *others)
    assert notices(result) == [expected]
    assert not [step for step in result.steps if isinstance(step, Update)]


@pytest.mark.parametrize(
    ("claim", "others", "reason"),
    [
        (make_claim(annotations=BOUND, phase="Bound", volumeName="v"), [], "ClaimLost"),
        (make_claim(annotations=BOUND, phase="Bound"), [make_volume()], "ClaimLost"),
        (
            make_claim(annotations=BOUND, phase="Bound", volumeName="v"),
            [make_volume(claimRef={**REFERENCE, "uid": "other"})],
            "ClaimMisbound",
        ),
    ],
)
def test_a_claim_whose_volume_is_gone_is_lost(claim: Object, others: list[Object], reason: str) -> None:
    result = decide_claim(claim, *others)
    assert the_update(result, "status")["status"] == {"phase": "Lost"}
    assert [notice[1] for notice in notices(result)] == [reason]


def test_a_claim_that_is_kept_after_its_deletion_is_bound_like_any_other() -> None:
    claim = make_claim(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert the_update(decide_claim(claim, make_volume()))["spec"]["claimRef"]["uid"] == "u-c"


def test_a_provisioner_is_asked_once_by_annotation() -> None:
    result = decide_claim(make_claim(), make_class(provisioner="example.com/p"))
    claim = the_update(result)
    assert claim["metadata"]["annotations"] == {
        "volume.kubernetes.io/storage-provisioner": "example.com/p",
        "volume.beta.kubernetes.io/storage-provisioner": "example.com/p",
    }
    assert notices(result)[0][1] == "ExternalProvisioning"
    assert not decide_claim(claim, make_class(provisioner="example.com/p")).steps


def test_the_driver_that_took_the_place_of_a_plugin_is_asked() -> None:
    claim = the_update(decide_claim(make_claim(), make_class(provisioner="kubernetes.io/aws-ebs")))
    assert claim["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"] == "ebs.csi.aws.com"


def test_a_pod_without_node_wakes_its_claims() -> None:
    (keys,) = (watch.keys for watch in claims.CLAIM_BINDER.watches if watch.kind == PODS)
    pod = make_pod("a")
    assert list(keys(None, pod, view_of())) == ["n/c"]
    assert not list(keys(pod, make_pod("a", node="n1"), view_of()))
    assert not list(keys(None, make_pod("a", node="n1"), view_of()))


def test_a_volume_without_class_is_preferred_to_the_default_class() -> None:
    storage_class = make_class()
    storage_class["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    claim, volume = make_claim(), make_volume(storageClassName="")
    del claim["spec"]["storageClassName"]
    assert the_update(decide_claim(claim, storage_class, volume))["spec"]["claimRef"]["uid"] == "u-c"


def test_a_claim_without_class_gets_the_default_that_came_later() -> None:
    storage_class = make_class()
    storage_class["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    claim = make_claim()
    del claim["spec"]["storageClassName"]
    assert the_update(decide_claim(claim, storage_class))["spec"]["storageClassName"] == "x"


# --- volumes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("volume", "others", "phase"),
    [
        pytest.param(make_volume(phase="Pending"), [], "Available", id="nobody's"),
        pytest.param(
            make_volume(phase="Pending", claimRef={"namespace": "n", "name": "c"}), [], "Available", id="kept for one"
        ),
        pytest.param(make_volume(phase="Bound", claimRef=REFERENCE), [], "Released", id="its claim is gone"),
        pytest.param(
            make_volume(phase="Bound", claimRef={**REFERENCE, "uid": "former"}),
            [make_claim(volumeName="v")],
            "Released",
            id="its claim is another by now",
        ),
        pytest.param(
            make_volume(phase="Released", claimRef=REFERENCE, persistentVolumeReclaimPolicy="Recycle"),
            [],
            "Failed",
            id="cannot be recycled",
        ),
        pytest.param(
            make_volume(phase="Released", claimRef=REFERENCE, persistentVolumeReclaimPolicy="Delete"),
            [],
            "Failed",
            id="cannot be deleted by anyone",
        ),
    ],
)
def test_the_phase_of_a_volume(volume: Object, others: list[Object], phase: str) -> None:
    assert the_update(decide_volume(volume, *others), "status")["status"]["phase"] == phase


NO_DELETER = 'error getting deleter volume plugin for volume "v": no deletable volume plugin matched'
NOT_IN_TMP = "host_path deleter only supports /tmp/.+ but received provided /srv/x"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param({"nfs": {"server": "s", "path": "/"}}, NO_DELETER, id="nfs"),
        pytest.param({"hostPath": {"path": "/srv/x"}}, NOT_IN_TMP, id="a directory of the host"),
    ],
)
def test_a_volume_that_nobody_deletes_fails(source: Object, message: str) -> None:
    volume = make_volume(phase="Released", claimRef=REFERENCE, persistentVolumeReclaimPolicy="Delete", **source)
    result = decide_volume(volume)
    assert the_update(result, "status")["status"] == {"phase": "Failed", "message": message}
    assert notices(result) == [("Warning", "VolumeFailedDelete", message)]


def test_a_volume_of_a_driver_is_left_to_it() -> None:
    source = {"csi": {"driver": "d", "volumeHandle": "h"}}
    volume = make_volume(phase="Released", claimRef=REFERENCE, persistentVolumeReclaimPolicy="Delete", **source)
    assert not decide_volume(volume).steps


def test_a_volume_that_is_kept_for_a_claim_of_another_mode_says_so() -> None:
    volume = make_volume(claimRef=REFERENCE, volumeMode="Block")
    why = "due to incompatible volumeMode."
    assert [message for _, _, message in notices(decide_volume(volume, make_claim()))] == [
        f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "c" {why}',
        f'Cannot bind PersistentVolume "v" to requested PersistentVolumeClaim {why}',
    ]


def test_a_released_volume_that_is_retained_stays() -> None:
    assert not decide_volume(make_volume(phase="Released", claimRef=REFERENCE)).steps


def test_a_volume_taken_in_vain_is_let_go() -> None:
    claim = make_claim(volumeName="other")
    ours = make_volume(claimRef=REFERENCE, annotations={"pv.kubernetes.io/bound-by-controller": "yes"})
    freed = the_update(decide_volume(ours, claim))
    assert "claimRef" not in freed["spec"]
    assert freed["metadata"]["annotations"] == {}
    kept = the_update(decide_volume(make_volume(claimRef=REFERENCE), claim))
    assert kept["spec"]["claimRef"] == {"namespace": "n", "name": "c"}


# --- local volumes ----------------------------------------------------------------------------------------------------

ASKS = {"volume.kubernetes.io/storage-provisioner": LOCAL}
PLACED = {**ASKS, "volume.kubernetes.io/selected-node": "n1"}


def provision(claim: Object, *others: Object) -> Result:
    return local_provisioner.reconcile_claim("n/c", view_of(claim, *others), NOW)


def test_a_local_volume_is_a_directory_of_the_selected_node_that_only_it_reaches() -> None:
    begun, create = provision(make_claim(annotations=PLACED), make_class(), make_node(), make_node("n0")).steps
    assert isinstance(begun, Notice)
    assert (begun.reason, begun.message) == (
        "Provisioning",
        'External provisioner is provisioning volume for claim "n/c"',
    )
    assert isinstance(create, Create)
    spec = create.obj["spec"]
    assert spec["local"] == {"path": "/data/pvc-u-c"}
    assert spec["claimRef"]["uid"] == "u-c"
    (term,) = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1"]}]
    assert "mountOptions" not in spec


def test_a_local_volume_has_the_mount_options_of_its_class() -> None:
    storage_class = {**make_class(), "mountOptions": ["noexec"]}
    _, create = provision(make_claim(annotations=PLACED), storage_class, make_node()).steps
    assert isinstance(create, Create)
    assert create.obj["spec"]["mountOptions"] == ["noexec"]


def test_without_a_selected_node_the_emptiest_ready_one_is_taken() -> None:
    on_n0 = make_volume(nodeAffinity=provisioned_on("n0"))
    nodes = [make_node("n0"), make_node("n1"), make_node("a", ready="False"), make_node("b", root="")]
    _, create = provision(make_claim(annotations=ASKS), make_class(), on_n0, *nodes).steps
    assert isinstance(create, Create)
    assert create.obj["spec"]["nodeAffinity"] == provisioned_on("n1")
    assert not provision(make_claim(annotations=ASKS), make_class()).steps, "waits for a node"


def provisioned_on(name: str) -> Object:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}


def test_a_node_that_cannot_have_the_volume_is_handed_back() -> None:
    result = provision(make_claim(annotations=PLACED), make_class(), make_node(root=""))
    assert the_update(result)["metadata"]["annotations"] == ASKS
    assert notices(result)[0][1] == "ProvisioningFailed"


@pytest.mark.parametrize("spec", [{"volumeMode": "Block"}, {"dataSource": {"name": "s"}}, {"selector": {}}])
def test_what_a_directory_cannot_be_is_said(spec: Any) -> None:
    result = provision(make_claim(annotations=PLACED, **spec), make_class(), make_node())
    assert [notice[1] for notice in notices(result)] == ["ProvisioningFailed" if any(spec.values()) else "Provisioning"]


def test_claims_of_other_provisioners_and_bound_ones_are_not_ours() -> None:
    others = {"volume.kubernetes.io/storage-provisioner": "example.com/p"}
    assert not provision(make_claim(annotations=others), make_class(), make_node()).steps
    assert not provision(make_claim(annotations=PLACED, volumeName="v"), make_class(), make_node()).steps


def released(**metadata: Any) -> Object:
    return make_volume(
        annotations={"pv.kubernetes.io/provisioned-by": LOCAL},
        phase="Released",
        metadata={"finalizers": [local_provisioner.FINALIZER], **metadata},
        persistentVolumeReclaimPolicy="Delete",
        nodeAffinity=provisioned_on("n1"),
    )


def test_a_released_local_volume_goes_after_its_directory() -> None:
    def decide(*objects: Object) -> list[Any]:
        return list(local_provisioner.reconcile_volume("v", view_of(*objects), NOW).steps)

    deleted = released(deletionTimestamp="2026-01-01T00:00:00Z")
    assert [type(step) for step in decide(released(), make_node())] == [Delete]
    removal, release = decide(deleted, make_node())
    assert isinstance(removal, CreateSubresource)
    assert (removal.name, removal.subresource) == ("n1", "proxy/podling/volumes/v/removal")
    assert release.obj["metadata"]["finalizers"] == []
    assert [type(step) for step in decide(deleted)] == [Update], "a node that is gone took the directory along"
    retained = released()
    retained["spec"]["persistentVolumeReclaimPolicy"] = "Retain"
    assert not decide(retained, make_node())


# --- growth and ephemeral volumes -------------------------------------------------------------------------------------


def test_a_claim_grows_with_its_local_volume() -> None:
    claim = make_claim(annotations=BOUND, volumeName="v", resources={"requests": {"storage": "5Gi"}})
    claim["status"] = {"phase": "Bound", "capacity": {"storage": "2Gi"}}
    mark = {"pv.kubernetes.io/provisioned-by": LOCAL}
    volume = make_volume(claimRef=REFERENCE, annotations=mark, local={"path": "/srv/v"})

    def decide(*objects: Object) -> Result:
        return expansion.reconcile("n/c", view_of(*objects), NOW)

    grown = the_update(decide(claim, volume))
    assert grown["spec"]["capacity"] == {"storage": "5Gi"}
    claim = the_update(decide(claim, grown), "status")
    assert claim["status"]["capacity"] == claim["status"]["allocatedResources"] == {"storage": "5Gi"}
    assert not decide(claim, grown).steps


@pytest.mark.parametrize("capacity", ["2Gi", "5Gi"], ids=["wanted", "grown, but nobody has seen to its files"])
def test_other_volumes_grow_by_their_driver(capacity: str) -> None:
    claim = make_claim(annotations=BOUND, volumeName="v", resources={"requests": {"storage": "5Gi"}})
    claim["status"] = {"phase": "Bound", "capacity": {"storage": "2Gi"}}
    result = expansion.reconcile("n/c", view_of(claim, make_volume(capacity={"storage": capacity})), NOW)
    assert [notice[1] for notice in notices(result)] == ["ExternalExpanding"]


def test_a_claim_grows_once_its_user_has_grown_a_local_volume() -> None:
    claim = make_claim(annotations=BOUND, volumeName="v", resources={"requests": {"storage": "5Gi"}})
    claim["status"] = {"phase": "Bound", "capacity": {"storage": "2Gi"}}
    volume = make_volume(claimRef=REFERENCE, local={"path": "/srv/v"})
    result = expansion.reconcile("n/c", view_of(claim, volume), NOW)
    assert [notice[1] for notice in notices(result)] == ["ExternalExpanding"]
    volume["spec"]["capacity"]["storage"] = "6Gi"
    grown = the_update(expansion.reconcile("n/c", view_of(claim, volume), NOW), "status")
    assert grown["status"]["capacity"] == {"storage": "6Gi"}


def test_an_ephemeral_volume_gets_a_claim_that_its_pod_owns() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"storageClassName": "x"}}
    pod = make_object(
        "v1", "Pod", "p", "n", spec={"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}]}
    )
    (create,) = ephemeral.reconcile("n/p", view_of(pod), NOW).steps
    assert isinstance(create, Create)
    metadata = create.obj["metadata"]
    assert (metadata["name"], metadata["labels"]) == ("p-v", {"a": "b"})
    assert metadata["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
    assert create.obj["spec"] == template["spec"]
    foreign = make_object("v1", "PersistentVolumeClaim", "p-v", "n")
    assert notices(ephemeral.reconcile("n/p", view_of(pod, foreign), NOW))[0][1] == "EphemeralVolumeInvalid"
