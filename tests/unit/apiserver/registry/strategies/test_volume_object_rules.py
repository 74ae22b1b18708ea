"""Rules of PersistentVolumes and PersistentVolumeClaims beyond the recorded ones, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from control.api.objects import Object, copy_object
from control.apiserver.registry.strategies import strategy_for
from tests.unit.apiserver.registry.strategies.writes import CONTEXT, change, created, texts, updated

VOLUME: Object = {
    "metadata": {"name": "disk"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "csi": {"driver": "d.example", "volumeHandle": "h"},
    },
}
CLAIM: Object = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
CLASS = "volume.beta.kubernetes.io/storage-class"


def case(sentence: str, *rows: Any) -> Any:
    return pytest.param(*rows, id=sentence)


def of_source(name: str, source: Object) -> Object:
    spec = {key: value for key, value in VOLUME["spec"].items() if key != "csi"}
    return {**VOLUME, "spec": {**spec, name: source}}


SOURCES = [
    case("a Cinder secret has a namespace", "cinder", {"volumeID": "v", "secretRef": {"name": "s"}},
         ["spec.cinder.secretRef.namespace: Required value"]),
    case("an Azure secret has a namespace, or none is given", "azureFile",
         {"secretName": "s", "shareName": "h", "secretNamespace": ""},
         ["spec.azureFile.secretNamespace: Required value"]),
    case("Gluster endpoints have a namespace, or none is given", "glusterfs",
         {"endpoints": "e", "path": "p", "endpointsNamespace": ""},
         ['spec.glusterfs.endpointsNamespace: Invalid value: "": if the endpointnamespace is set, it must be a valid '
          "namespace name"]),
    case("a local volume has a node", "local", {"path": "/a"},
         ["spec.nodeAffinity: Required value: Local volume requires node affinity"]),
    case("an iSCSI portal is short", "iscsi",
         {"targetPortal": "t" * 60, "iqn": "iqn.2001-04.com.example:storage", "lun": 0,
          "initiatorName": "iqn.2001-04.com.example:me"},
         [f'spec.iscsi.targetportal: Invalid value: "{"t" * 60}": Total length of <volume name>:<iscsi.targetPortal> '
          "must be under 64 characters if iscsi.initiatorName is specified."]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "source", "expected"), SOURCES)
def test_odd_sources_of_volumes_have_upstream_causes(name: str, source: Object, expected: list[str]) -> None:
    assert texts(created(PERSISTENT_VOLUMES, of_source(name, source))[1]) == expected


def term(key: str) -> Object:
    expression = {"key": key, "operator": "In", "values": ["a"]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}


def test_the_source_of_a_volume_stays_but_for_who_expands_it() -> None:
    old, _ = created(PERSISTENT_VOLUMES, VOLUME)
    secret = {"name": "s", "namespace": "n"}
    expanding = change(old, "spec.csi.controllerExpandSecretRef", secret)
    other = change(expanding, "spec.csi.controllerExpandSecretRef", {"name": "t", "namespace": "n"})

    assert updated(PERSISTENT_VOLUMES, old, expanding) == []
    assert [error.field for error in updated(PERSISTENT_VOLUMES, expanding, other)] == ["spec.persistentvolumesource"]


def test_the_node_of_a_volume_stays_but_for_stable_names_of_its_labels() -> None:
    beta, stable = term("failure-domain.beta.kubernetes.io/zone"), term("topology.kubernetes.io/zone")
    old, _ = created(PERSISTENT_VOLUMES, change(VOLUME, "spec.nodeAffinity", beta))

    assert updated(PERSISTENT_VOLUMES, old, change(old, "spec.nodeAffinity", stable)) == []
    assert [error.field for error in updated(PERSISTENT_VOLUMES, old, change(old, "spec.nodeAffinity", term("a")))] == [
        "nodeAffinity"
    ]


def test_the_attributes_class_of_a_volume_is_not_taken_away() -> None:
    old, _ = created(PERSISTENT_VOLUMES, change(VOLUME, "spec.volumeAttributesClassName", "fast"))

    assert texts(updated(PERSISTENT_VOLUMES, old, VOLUME)) == [
        "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"
    ]


def test_deprecated_fields_of_volumes_are_warned_of() -> None:
    odd = change(of_source("rbd", {"monitors": ["m"], "image": "i"}), "metadata.annotations", {CLASS: "c"})
    odd = change(odd, "spec.persistentVolumeReclaimPolicy", "Recycle")
    obj, _ = created(PERSISTENT_VOLUMES, change(odd, "spec.nodeAffinity", term("beta.kubernetes.io/os")))

    assert strategy_for(PERSISTENT_VOLUMES).warnings_on_create(CONTEXT, obj) == [
        f'metadata.annotations[{CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead',
        "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
        "approach is to use dynamic provisioning.",
        "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is deprecated "
        'since v1.14; use "kubernetes.io/os" instead',
        "spec.rbd: deprecated in v1.28, non-functional in v1.31+",
    ]


def test_sources_of_claims_that_need_gates_are_dropped() -> None:
    populator = {"apiGroup": "p.example", "kind": "Populator", "name": "p"}
    foreign, _ = created(PERSISTENT_VOLUME_CLAIMS, change(CLAIM, "spec.dataSourceRef", {**populator, "namespace": "n"}))
    old_field, _ = created(PERSISTENT_VOLUME_CLAIMS, change(CLAIM, "spec.dataSource", populator))
    reference, _ = created(PERSISTENT_VOLUME_CLAIMS, change(CLAIM, "spec.dataSourceRef", populator))

    assert not {"dataSource", "dataSourceRef"} & foreign["spec"].keys()
    assert not {"dataSource", "dataSourceRef"} & old_field["spec"].keys()
    assert reference["spec"]["dataSource"] == populator


def test_the_annotated_class_of_a_claim_may_become_its_class() -> None:
    old, _ = created(PERSISTENT_VOLUME_CLAIMS, change(CLAIM, "metadata.annotations", {CLASS: "slow"}))
    named = change(change(old, "metadata.annotations", {}), "spec.storageClassName", "slow")

    assert updated(PERSISTENT_VOLUME_CLAIMS, old, named) == []
    assert [e.field for e in updated(PERSISTENT_VOLUME_CLAIMS, old, change(named, "spec.storageClassName", "x"))] == [
        f"metadata.annotations.{CLASS}",
        "spec",
    ]


def test_the_attributes_class_of_a_claim_that_has_it_is_not_taken_away() -> None:
    wanted = change(CLAIM, "spec.volumeAttributesClassName", "fast")
    old, _ = created(PERSISTENT_VOLUME_CLAIMS, wanted)
    held = change(old, "status.currentVolumeAttributesClassName", "fast")
    path, when = "spec.volumeAttributesClassName", "when status.currentVolumeAttributesClassName is not nil"

    assert updated(PERSISTENT_VOLUME_CLAIMS, old, CLAIM) == []
    assert texts(updated(PERSISTENT_VOLUME_CLAIMS, held, CLAIM)) == [
        f"{path}: Forbidden: update to nil is forbidden {when}"
    ]
    assert texts(updated(PERSISTENT_VOLUME_CLAIMS, held, change(wanted, path, ""))) == [
        f"{path}: Forbidden: update to empty string is forbidden {when}"
    ]


def test_odd_statuses_of_claims_have_upstream_causes() -> None:
    old, _ = created(PERSISTENT_VOLUME_CLAIMS, CLAIM)
    obj = copy_object(old)
    obj["status"] = {
        "capacity": {"storage": "-1"},
        "allocatedResourceStatuses": {"cpu": "Odd"},
        "allocatedResources": {"memory": "1", "storage": "-1"},
    }

    assert texts(strategy_for(PERSISTENT_VOLUME_CLAIMS).validate_status_update(CONTEXT, obj, old)) == [
        "status.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
        'status.allocatedResourceStatus: Unsupported value: "cpu": supported values: "storage"',
        'status.allocatedResourceStatus: Unsupported value: "cpu": supported values: "ControllerResizeInProgress", '
        '"ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"',
        'status.allocatedResources: Unsupported value: "memory": supported values: "storage"',
        "status.allocatedResources[storage]: Invalid value: -1: must be a valid resource quantity",
    ]


def test_part_of_a_byte_is_warned_of() -> None:
    obj, _ = created(PERSISTENT_VOLUME_CLAIMS, change(CLAIM, "spec.resources.requests.storage", "1500m"))

    assert strategy_for(PERSISTENT_VOLUME_CLAIMS).warnings_on_create(CONTEXT, obj) == [
        'spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer'
    ]
