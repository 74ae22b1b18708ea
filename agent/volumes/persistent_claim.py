"""persistentVolumeClaim and ephemeral volumes: the claim's volume takes their place. Reads the API alone.

The conditions are the kubelet's (pkg/kubelet/volumemanager/populator, v1.36).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agent.volumes.protocol import ObjectSource, ProcessingError
from control.api.meta import (
    annotations_of,
    controller_of,
    is_deleting,
    name_of,
    namespace_of,
    namespaced_key,
    object_key,
    uid_of,
)
from control.api.objects import ReadOnlyObject
from control.api.quantity import quantity_value
from control.api.volumes import claim_name_of, is_for_one_pod, used_volumes

MOUNT_OPTIONS_ANNOTATION = "volume.beta.kubernetes.io/mount-options"
GROUP_ANNOTATION = "pv.beta.kubernetes.io/gid"
#: fields of a PersistentVolume's spec that are not the type of the volume
_COMMON_FIELDS = frozenset(
    {
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSource:
    """What is to be mounted: a type of volume and what stands under it. `persistent_volume` is the one of a claim.

    `is_exclusive`: for one Pod at a time.
    """

    type_name: str
    spec: Mapping[str, Any]
    read_only: bool = False
    is_block: bool = False
    persistent_volume: ReadOnlyObject | None = None
    is_exclusive: bool = False
    layers: Sequence[str] = ()
    mount_options: tuple[str, ...] = ()

    @property
    def volume_name(self) -> str:
        """Name of the PersistentVolume; empty without one."""
        return "" if self.persistent_volume is None else name_of(self.persistent_volume)

    @property
    def size_bytes(self) -> int:
        """What the PersistentVolume is said to hold; zero without one."""
        capacity = {} if self.persistent_volume is None else self.persistent_volume["spec"].get("capacity") or {}
        return quantity_value(capacity.get("storage", "0"))

    @property
    def group(self) -> int | None:
        """The group that the PersistentVolume's annotation wants its Pods to have; one that is no number is none."""
        text = annotations_of(self.persistent_volume or {"metadata": {}}).get(GROUP_ANNOTATION, "")
        return int(text) if text.isdecimal() else None


async def claimed_source(objects: ObjectSource, pod: ReadOnlyObject, volume: Mapping[str, Any]) -> VolumeSource:
    """Find the source behind a Pod's claim. Raises ProcessingError while there is none that containers may use."""
    key = namespaced_key(namespace_of(pod), claim_name_of(pod, volume))
    with _processing(key):
        claim = await _bound_claim(objects, pod, claim_name_of(pod, volume))
    if volume.get("ephemeral") and (controller_of(claim) or {}).get("uid") != uid_of(pod):
        raise ProcessingError(f"PVC {key} was not created for pod {object_key(pod)} (pod is not owner)")
    with _processing(key):
        persistent_volume = await _claimed_volume(objects, claim)
    source = _source_of(persistent_volume, read_only=bool((volume.get("persistentVolumeClaim") or {}).get("readOnly")))
    mounted, mapped = used_volumes(pod)
    wrong_use = "volumeMounts" if source.is_block else "volumeDevices"
    if volume["name"] in (mounted if source.is_block else mapped):
        mode = "Block" if source.is_block else "Filesystem"
        raise ProcessingError(f"volume {volume['name']} has volumeMode {mode}, but is specified in {wrong_use}")
    return source


@contextmanager
def _processing(claim_key: str) -> Iterator[None]:
    try:
        yield
    except ProcessingError as error:
        raise ProcessingError(f"error processing PVC {claim_key}: {error}") from None


async def _bound_claim(objects: ObjectSource, pod: ReadOnlyObject, name: str) -> ReadOnlyObject:
    claim = await objects.get_claim(namespace_of(pod), name)
    if claim is None:
        message = f'failed to fetch PVC from API server: persistentvolumeclaims "{name}" not found'
        raise ProcessingError(message)
    if is_deleting(claim) and not (pod.get("status") or {}).get("startTime"):
        raise ProcessingError("PVC is being deleted")
    if (claim.get("status") or {}).get("phase") != "Bound":
        raise ProcessingError("PVC is not bound")
    if not claim["spec"].get("volumeName"):
        raise ProcessingError("PVC has empty pvc.Spec.VolumeName")
    return claim


async def _claimed_volume(objects: ObjectSource, claim: ReadOnlyObject) -> ReadOnlyObject:
    name = claim["spec"]["volumeName"]
    volume = await objects.get_volume(name)
    if volume is None:
        raise ProcessingError(f'failed to fetch PV {name} from API server: persistentvolumes "{name}" not found')
    reference = volume["spec"].get("claimRef")
    if not reference:
        raise ProcessingError(
            f"found PV object {name} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"
        )
    if reference.get("uid") != uid_of(claim):
        raise ProcessingError(
            f"found PV object {name} but its pv.Spec.ClaimRef.UID {reference.get('uid') or ''} "
            f"does not point to claim.UID {uid_of(claim)}"
        )
    return volume


def _source_of(persistent_volume: ReadOnlyObject, *, read_only: bool) -> VolumeSource:
    spec = persistent_volume["spec"]
    type_name = next((name for name, value in spec.items() if name not in _COMMON_FIELDS and value is not None), "")
    return VolumeSource(
        type_name=type_name,
        spec=spec.get(type_name) or {},
        read_only=read_only,
        is_block=spec.get("volumeMode") == "Block",
        persistent_volume=persistent_volume,
        is_exclusive=is_for_one_pod(persistent_volume),
        mount_options=_mount_options(persistent_volume),
    )


def _mount_options(persistent_volume: ReadOnlyObject) -> tuple[str, ...]:
    """The annotation came before the field, and wins (MountOptionFromSpec in pkg/volume/util)."""
    annotated = annotations_of(persistent_volume).get(MOUNT_OPTIONS_ANNOTATION)
    if annotated is not None:
        return tuple(option for option in annotated.split(",") if option)
    return tuple(persistent_volume["spec"].get("mountOptions") or ())
