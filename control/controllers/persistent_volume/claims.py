"""Claims: find a volume for each, or have one made, and notice when a bound one has lost its volume.

The rules are those of upstream's persistentvolume controller (syncUnboundClaim, syncBoundClaim; v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from control.api.meta import annotations_of, name_of, namespace_of, namespaced_key, object_key, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_terminal, node_name_of
from control.api.volumes import (
    BETA_STORAGE_PROVISIONER,
    BIND_COMPLETED,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    binds_late,
    claim_names,
    class_of_claim,
    default_class,
    find_matching_volume,
    misfit,
    refers_to,
)
from control.client.controller import Controller, Watch, present_key
from control.client.view import View
from control.client.writes import Notice, Result, Step, Update
from control.controllers.persistent_volume.binding import bind, claim_status

#: Volume plugins that were part of Kubernetes once, and the drivers that took their place.
MIGRATED_PROVISIONERS = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/azure-file": "file.csi.azure.com",
    "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
    "kubernetes.io/portworx-volume": "pxd.portworx.com",
    "kubernetes.io/vsphere-volume": "csi.vsphere.vmware.com",
}
#: Other provisioners of this prefix would be plugins; there are none.
IN_TREE_PREFIX = "kubernetes.io/"


def reconcile_claim(key: str, view: View, now: datetime) -> Result:
    """Decide the next step of one claim."""
    claim = view.find_key(PERSISTENT_VOLUME_CLAIMS, key)
    if claim is None:
        return Result()
    if BIND_COMPLETED in annotations_of(claim):
        return _keep_bound(claim, view)
    if claim["spec"].get("volumeName"):
        return _bind_named(claim, view)
    return _find_volume(claim, view)


# --- bound ------------------------------------------------------------------------------------------------------------


def _keep_bound(claim: ReadOnlyObject, view: View) -> Result:
    name = claim["spec"].get("volumeName")
    if not name:
        return _lost(
            claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        )
    volume = view.find(PERSISTENT_VOLUMES, name)
    if volume is None:
        return _lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
    reference = volume["spec"].get("claimRef")
    if not reference or reference.get("uid") == uid_of(claim):
        return bind(volume, claim)
    return _lost(claim, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")


def _lost(claim: ReadOnlyObject, reason: str, message: str) -> Result:
    steps = claim_status(claim, "Lost")
    if steps:
        steps.append(Notice(regarding=claim, type="Warning", reason=reason, message=message))
    return Result(steps=steps)


# --- not bound yet ----------------------------------------------------------------------------------------------------


def _bind_named(claim: ReadOnlyObject, view: View) -> Result:
    """The user chose the volume; it must exist, fit, and be free or kept for this claim."""
    name = claim["spec"]["volumeName"]
    volume = view.find(PERSISTENT_VOLUMES, name)
    if volume is None:
        return _pending(claim)
    if not volume["spec"].get("claimRef"):
        reason = misfit(volume, claim)
        if reason:
            return _pending(claim, "VolumeMismatch", f'Cannot bind to requested volume "{name}": {reason}')
        return bind(volume, claim)
    if refers_to(volume, claim):
        return bind(volume, claim)
    return _pending(claim, "FailedBinding", f'volume "{name}" already bound to a different claim.')


def _find_volume(claim: ReadOnlyObject, view: View) -> Result:
    class_name = class_of_claim(claim)
    storage_class = view.find(STORAGE_CLASSES, class_name) if class_name else None
    waits = binds_late(storage_class) and SELECTED_NODE not in annotations_of(claim)
    volume = find_matching_volume(claim, view.list(PERSISTENT_VOLUMES), only_reserved=waits)
    if volume is not None:
        return bind(volume, claim)
    if claim["spec"].get("storageClassName") is None and not class_name:
        newest = default_class(view.list(STORAGE_CLASSES))
        if newest is not None:
            return Result(steps=[_with_class(claim, name_of(newest))])
    if waits:
        return _wait_for_consumer(claim, view)
    if not class_name:
        message = "no persistent volumes available for this claim and no storage class is set"
        return _pending(claim, "FailedBinding", message, type="Normal")
    if storage_class is None:
        message = f'storageclass.storage.k8s.io "{class_name}" not found'
        return _pending(claim, "ProvisioningFailed", message)
    return _ask_provisioner(claim, storage_class)


def _wait_for_consumer(claim: ReadOnlyObject, view: View) -> Result:
    """The choice is the scheduler's, with the first Pod; say which it is looking at."""
    pods = [
        name_of(pod)
        for pod in view.list(PODS, namespace_of(claim))
        if not node_name_of(pod) and not is_terminal(pod) and name_of(claim) in claim_names(pod)
    ]
    if not pods:
        message = "waiting for first consumer to be created before binding"
        return _pending(claim, "WaitForFirstConsumer", message, type="Normal")
    message = f"waiting for {'pod' if len(pods) == 1 else 'pods'} {','.join(sorted(pods))} to be scheduled"
    return _pending(claim, "WaitForPodScheduled", message, type="Normal")


def _ask_provisioner(claim: ReadOnlyObject, storage_class: ReadOnlyObject) -> Result:
    """Name the provisioner on the claim, which is what provisioners wait for."""
    named = str(storage_class.get("provisioner", ""))
    provisioner = MIGRATED_PROVISIONERS.get(named, named)
    if provisioner.startswith(IN_TREE_PREFIX):
        return _pending(claim, "ProvisioningFailed", f"no volume plugin matched name: {provisioner}")
    if annotations_of(claim).get(STORAGE_PROVISIONER) != provisioner:
        marks = {STORAGE_PROVISIONER: provisioner, BETA_STORAGE_PROVISIONER: provisioner}
        metadata = {**claim["metadata"], "annotations": {**annotations_of(claim), **marks}}
        cause = "the class has a provisioner"
        return Result(
            steps=[
                Update(kind=PERSISTENT_VOLUME_CLAIMS, obj={**claim, "metadata": metadata}, cause=cause),
                Notice(
                    regarding=claim,
                    reason="ExternalProvisioning",
                    message=(
                        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or"
                        " manually by the system administrator. If volume creation is delayed, please verify that the"
                        " provisioner is running and correctly registered."
                    ),
                ),
            ]
        )
    return _pending(claim)


def _with_class(claim: ReadOnlyObject, class_name: str) -> Update:
    spec = {**claim["spec"], "storageClassName": class_name}
    cause = "a default class has come to be since the claim was made"
    return Update(kind=PERSISTENT_VOLUME_CLAIMS, obj={**claim, "spec": spec}, cause=cause)


def _pending(claim: ReadOnlyObject, reason: str = "", message: str = "", *, type: str = "Warning") -> Result:
    steps: list[Step] = claim_status(claim, "Pending")
    if reason:
        steps.append(Notice(regarding=claim, type=type, reason=reason, message=message))
    return Result(steps=steps)


# --- what wakes a claim -----------------------------------------------------------------------------------------------


def _keys_of_volume(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    """The claim a volume is or was bound to; a free volume may serve any claim that still looks for one."""
    keys = set()
    for volume in (old, new):
        reference = volume["spec"].get("claimRef") if volume is not None else None
        if reference:
            keys.add(namespaced_key(reference.get("namespace"), reference.get("name", "")))
    if new is None or not new["spec"].get("claimRef"):
        keys |= {object_key(claim) for claim in view.list(PERSISTENT_VOLUME_CLAIMS) if _is_waiting(claim)}
    if old is not None and new is None:
        name = name_of(old)
        keys |= {
            object_key(one) for one in view.list(PERSISTENT_VOLUME_CLAIMS) if one["spec"].get("volumeName") == name
        }
    return keys


def _keys_of_class(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    if new is None:
        return ()
    names = ("", name_of(new))
    return [
        object_key(claim)
        for claim in view.list(PERSISTENT_VOLUME_CLAIMS)
        if _is_waiting(claim) and class_of_claim(claim) in names
    ]


def _is_waiting(claim: ReadOnlyObject) -> bool:
    return BIND_COMPLETED not in annotations_of(claim)


def _keys_of_pod(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    """The claims of a Pod that has just come and has no node yet."""
    if old is not None or new is None or node_name_of(new):
        return ()
    return [namespaced_key(namespace_of(new), name) for name in claim_names(new)]


CLAIM_BINDER = Controller(
    name="persistentvolume-binder",
    watches=(
        Watch(kind=PERSISTENT_VOLUME_CLAIMS, keys=present_key),
        Watch(kind=PERSISTENT_VOLUMES, keys=_keys_of_volume),
        Watch(kind=STORAGE_CLASSES, keys=_keys_of_class),
        Watch(kind=PODS, keys=_keys_of_pod),
    ),
    reconcile=reconcile_claim,
    # One claim after the other: two that look for a volume at once would both choose the same.
    workers=1,
)
