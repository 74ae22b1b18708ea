"""Table columns of storage kinds and of dynamic resources."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from control.api.objects import ReadOnlyObject
from control.schema.columns.column import (
    AGE,
    NAME,
    NONE,
    UNSET,
    TableLayout,
    age_of,
    described,
    name_of,
    of_field,
    spec_of,
    status_of,
)

_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_CLASS_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_ACCESS_MODES = (
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
)


def _modes_text(modes: Iterable[str] | None) -> str:
    given = set(modes or ())
    return ",".join(short for mode, short in _ACCESS_MODES if mode in given)


def _class_name(obj: ReadOnlyObject) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    if _CLASS_ANNOTATION in annotations:
        return str(annotations[_CLASS_ANNOTATION])
    return str(spec_of(obj).get("storageClassName") or "")


def _phase(obj: ReadOnlyObject) -> str:
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else str(status_of(obj).get("phase", ""))


def _volume_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    claim = spec.get("claimRef")
    return [
        name_of(obj),
        (spec.get("capacity") or {}).get("storage", "0"),
        _modes_text(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(obj),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _class_name(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        status_of(obj).get("reason", ""),
        age_of(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def _claim_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    volume = spec.get("volumeName", "")
    return [
        name_of(obj),
        _phase(obj),
        volume,
        (status.get("capacity") or {}).get("storage", "0") if volume else "",
        _modes_text(status.get("accessModes")) if volume else "",
        _class_name(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        age_of(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def _storage_class_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    annotations = obj["metadata"].get("annotations") or {}
    is_default = any(annotations.get(key) == "true" for key in _DEFAULT_CLASS_ANNOTATIONS)
    return [
        name_of(obj) + (" (default)" if is_default else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        age_of(obj, now),
    ]


def _attachment_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    return [
        name_of(obj),
        spec.get("attacher", ""),
        (spec.get("source") or {}).get("persistentVolumeName") or "",
        spec.get("nodeName", ""),
        bool(status_of(obj).get("attached")),
        age_of(obj, now),
    ]


def _csi_driver_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    requests = spec.get("tokenRequests")
    return [
        name_of(obj),
        spec.get("attachRequired") is not False,
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        UNSET if requests is None else ",".join(request.get("audience", "") for request in requests),
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or NONE,
        age_of(obj, now),
    ]


def _csi_node_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), len(spec_of(obj).get("drivers") or ()), age_of(obj, now)]


def _attributes_class_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), obj.get("driverName", ""), age_of(obj, now)]


def _resource_claim_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    status = status_of(obj)
    deleted = bool(obj["metadata"].get("deletionTimestamp"))
    states = ["deleted"] if deleted else []
    if status.get("allocation") is not None:
        states.append("allocated")
        if status.get("reservedFor"):
            states.append("reserved")
    elif not deleted:
        states.append("pending")
    return [name_of(obj), ",".join(states), age_of(obj, now)]


def _resource_slice_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    pool = (spec.get("pool") or {}).get("name", "")
    return [name_of(obj), spec.get("nodeName") or "", spec.get("driver", ""), pool, age_of(obj, now)]


def _name_and_age(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), age_of(obj, now)]


LAYOUTS = {
    ("", "PersistentVolume"): TableLayout(
        columns=(
            NAME,
            of_field("Capacity", "core.v1.PersistentVolumeSpec.capacity"),
            of_field("Access Modes", "core.v1.PersistentVolumeSpec.accessModes"),
            of_field("Reclaim Policy", "core.v1.PersistentVolumeSpec.persistentVolumeReclaimPolicy"),
            of_field("Status", "core.v1.PersistentVolumeStatus.phase"),
            of_field("Claim", "core.v1.PersistentVolumeSpec.claimRef"),
            described("StorageClass", "StorageClass of the pv"),
            described("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
            of_field("Reason", "core.v1.PersistentVolumeStatus.reason"),
            AGE,
            of_field("VolumeMode", "core.v1.PersistentVolumeSpec.volumeMode", priority=1),
        ),
        cells=_volume_cells,
    ),
    ("", "PersistentVolumeClaim"): TableLayout(
        columns=(
            NAME,
            of_field("Status", "core.v1.PersistentVolumeClaimStatus.phase"),
            of_field("Volume", "core.v1.PersistentVolumeClaimSpec.volumeName"),
            of_field("Capacity", "core.v1.PersistentVolumeClaimStatus.capacity"),
            of_field("Access Modes", "core.v1.PersistentVolumeClaimStatus.accessModes"),
            described("StorageClass", "StorageClass of the pvc"),
            described("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
            AGE,
            of_field("VolumeMode", "core.v1.PersistentVolumeClaimSpec.volumeMode", priority=1),
        ),
        cells=_claim_cells,
    ),
    ("storage.k8s.io", "StorageClass"): TableLayout(
        columns=(
            NAME,
            of_field("Provisioner", "storage.v1.StorageClass.provisioner"),
            of_field("ReclaimPolicy", "storage.v1.StorageClass.reclaimPolicy"),
            of_field("VolumeBindingMode", "storage.v1.StorageClass.volumeBindingMode"),
            of_field("AllowVolumeExpansion", "storage.v1.StorageClass.allowVolumeExpansion"),
            AGE,
        ),
        cells=_storage_class_cells,
    ),
    ("storage.k8s.io", "VolumeAttachment"): TableLayout(
        columns=(
            NAME,
            of_field("Attacher", "storage.v1.VolumeAttachmentSpec.attacher", format="name"),
            of_field("PV", "storage.v1.VolumeAttachmentSource.persistentVolumeName"),
            of_field("Node", "storage.v1.VolumeAttachmentSpec.nodeName"),
            of_field("Attached", "storage.v1.VolumeAttachmentStatus.attached", type="boolean"),
            AGE,
        ),
        cells=_attachment_cells,
    ),
    ("storage.k8s.io", "CSIDriver"): TableLayout(
        columns=(
            NAME,
            of_field("AttachRequired", "storage.v1.CSIDriverSpec.attachRequired", type="boolean"),
            of_field("PodInfoOnMount", "storage.v1.CSIDriverSpec.podInfoOnMount", type="boolean"),
            of_field("StorageCapacity", "storage.v1.CSIDriverSpec.storageCapacity", type="boolean"),
            of_field("TokenRequests", "storage.v1.CSIDriverSpec.tokenRequests"),
            of_field("RequiresRepublish", "storage.v1.CSIDriverSpec.requiresRepublish", type="boolean"),
            of_field("Modes", "storage.v1.CSIDriverSpec.volumeLifecycleModes"),
            AGE,
        ),
        cells=_csi_driver_cells,
    ),
    ("storage.k8s.io", "CSINode"): TableLayout(
        columns=(
            NAME,
            described("Drivers", "Drivers indicates the number of CSI drivers registered on the node", type="integer"),
            AGE,
        ),
        cells=_csi_node_cells,
    ),
    ("storage.k8s.io", "VolumeAttributesClass"): TableLayout(
        columns=(NAME, of_field("DriverName", "storage.v1.VolumeAttributesClass.driverName"), AGE),
        cells=_attributes_class_cells,
    ),
    ("resource.k8s.io", "DeviceClass"): TableLayout(columns=(NAME, AGE), cells=_name_and_age),
    ("resource.k8s.io", "ResourceClaimTemplate"): TableLayout(columns=(NAME, AGE), cells=_name_and_age),
    ("resource.k8s.io", "ResourceClaim"): TableLayout(
        columns=(
            NAME,
            described("State", "A summary of the current state (allocated, pending, reserved, etc.)."),
            AGE,
        ),
        cells=_resource_claim_cells,
    ),
    ("resource.k8s.io", "ResourceSlice"): TableLayout(
        columns=(
            NAME,
            of_field("Node", "resource.v1.ResourceSliceSpec.nodeName"),
            of_field("Driver", "resource.v1.ResourceSliceSpec.driver"),
            of_field("Pool", "resource.v1.ResourcePool.name"),
            AGE,
        ),
        cells=_resource_slice_cells,
    ),
}
