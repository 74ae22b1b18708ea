"""persistentVolumeClaim and ephemeral volumes: the claim's volume takes their place. Reads the API alone.

The conditions are the kubelet's (pkg/kubelet/volumemanager/populator, v1.36).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.volumes.protocol import ObjectSource, VolumeError
from control.api.meta import annotations_of, controller_of, is_deleting, namespace_of, uid_of
from control.api.objects import ReadOnlyObject
from control.api.volumes import claim_name_of, is_for_one_pod

MOUNT_OPTIONS_ANNOTATION = "volume.beta.kubernetes.io/mount-options"
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
    """What is to be mounted: a type of volume and what stands under it. `volume_name` is the PersistentVolume's.

    `is_exclusive`: for one Pod at a time.
    """

    type_name: str
    spec: Mapping[str, Any]
    read_only: bool = False
    is_block: bool = False
    volume_name: str = ""
    is_exclusive: bool = False
    layers: Sequence[str] = ()
    mount_options: tuple[str, ...] = ()


async def claimed_source(objects: ObjectSource, pod: ReadOnlyObject, volume: Mapping[str, Any]) -> VolumeSource:
    """Find the source behind a Pod's claim. Raises VolumeError while claim and volume are not bound to one another."""
    namespace, claim_name = namespace_of(pod), claim_name_of(pod, volume)
    claim = await objects.get_claim(namespace, claim_name)
    if claim is None:
        raise VolumeError(f'persistentvolumeclaim "{claim_name}" not found')
    if volume.get("ephemeral") and (controller_of(claim) or {}).get("uid") != uid_of(pod):
        raise VolumeError(f"PVC {namespace}/{claim_name} was not created for the Pod (Pod is not owner)")
    volume_name = claim["spec"].get("volumeName") or ""
    if (claim.get("status") or {}).get("phase") != "Bound" or not volume_name:
        raise VolumeError(f"PVC {namespace}/{claim_name} is not bound")
    if is_deleting(claim) and not (pod.get("status") or {}).get("startTime"):
        raise VolumeError(f"PVC {namespace}/{claim_name} is being deleted")
    persistent_volume = await objects.get_volume(volume_name)
    if persistent_volume is None:
        raise VolumeError(f'persistentvolume "{volume_name}" not found')
    if (persistent_volume["spec"].get("claimRef") or {}).get("uid") != uid_of(claim):
        raise VolumeError(f"volume {volume_name} is not bound to PVC {namespace}/{claim_name}")
    return _source_of(persistent_volume, read_only=bool((volume.get("persistentVolumeClaim") or {}).get("readOnly")))


def _source_of(persistent_volume: ReadOnlyObject, *, read_only: bool) -> VolumeSource:
    spec = persistent_volume["spec"]
    type_name = next((name for name, value in spec.items() if name not in _COMMON_FIELDS and value is not None), "")
    return VolumeSource(
        type_name=type_name,
        spec=spec.get(type_name) or {},
        read_only=read_only,
        is_block=spec.get("volumeMode") == "Block",
        volume_name=persistent_volume["metadata"]["name"],
        is_exclusive=is_for_one_pod(persistent_volume),
        mount_options=_mount_options(persistent_volume),
    )


def _mount_options(persistent_volume: ReadOnlyObject) -> tuple[str, ...]:
    """The annotation came before the field, and wins (MountOptionFromSpec in pkg/volume/util)."""
    annotated = annotations_of(persistent_volume).get(MOUNT_OPTIONS_ANNOTATION)
    if annotated is not None:
        return tuple(option for option in annotated.split(",") if option)
    return tuple(persistent_volume["spec"].get("mountOptions") or ())
