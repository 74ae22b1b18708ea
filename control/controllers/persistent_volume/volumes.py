"""Volumes: the phase of each, and what becomes of one whose claim has gone.

The rules are those of upstream's persistentvolume controller (syncVolume, reclaimVolume; v1.36).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from control.api.meta import annotations_of, is_deleting, name_of, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_terminal
from control.api.volumes import BOUND_BY_CONTROLLER, PROVISIONED_BY, volume_mode
from control.client.controller import Controller, Watch, present_key
from control.client.view import View
from control.client.writes import Create, Delete, Notice, Result, Step, Update
from control.controllers.persistent_volume.recycling import NAMESPACE as RECYCLER_NAMESPACE
from control.controllers.persistent_volume.recycling import recycled_volume, recycler_name, recycler_pod


def reconcile_volume(key: str, view: View, now: datetime) -> Result:
    """Decide the next step of one volume."""
    volume = view.find_key(PERSISTENT_VOLUMES, key)
    if volume is None:
        return Result()
    reference = volume["spec"].get("claimRef")
    if not reference or not reference.get("uid"):
        return Result(steps=_phase(volume, "Available"))
    claim = view.find(PERSISTENT_VOLUME_CLAIMS, reference.get("name", ""), reference.get("namespace"))
    if claim is None or uid_of(claim) != reference["uid"]:
        return _release(volume, view)
    volume_name = claim["spec"].get("volumeName")
    if not volume_name:  # the claim's turn, which will not come to a volume of another mode
        return _report_mode(volume, claim) if volume_mode(volume) != volume_mode(claim) else Result()
    if volume_name == name_of(volume):
        return Result(steps=_phase(volume, "Bound"))
    return _let_go(volume, view)


def _release(volume: ReadOnlyObject, view: View) -> Result:
    """The claim has gone: reclaim the volume as its policy says."""
    phase = (volume.get("status") or {}).get("phase")
    if phase not in ("Released", "Failed"):
        return Result(steps=_phase(volume, "Released"))
    policy = volume["spec"].get("persistentVolumeReclaimPolicy") or "Retain"
    if policy == "Retain" or is_deleting(volume) or phase == "Failed":
        return Result()
    if policy == "Recycle":
        return _recycle(volume, view)
    if PROVISIONED_BY in annotations_of(volume):
        return Result()  # whoever made the volume deletes it
    if volume["spec"].get("csi"):
        return Result()  # its driver does
    return _fail(volume, "VolumeFailedDelete", _why_not_deleted(volume))


def _recycle(volume: ReadOnlyObject, view: View) -> Result:
    """Have it emptied by a Pod. The Pod goes before its volume is used again: its name tells of one emptying only."""
    wanted = recycler_pod(volume)
    if wanted is None:
        return _fail(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
    name = recycler_name(volume)
    pod = view.find(PODS, name, RECYCLER_NAMESPACE)
    if pod is None:
        message = "Recycle failed: unexpected error creating recycler pod: {error}"
        failure = Notice(regarding=volume, type="Warning", reason="VolumeFailedRecycle", message=message)
        return Result(steps=[Create(kind=PODS, obj=wanted, cause="the volume is released", failure=failure)])
    if is_deleting(pod) or not is_terminal(pod):
        return Result()
    status = pod["status"]
    cause = f"it has {'emptied' if status['phase'] == 'Succeeded' else 'not emptied'} the volume"
    removal = Delete(kind=PODS, name=name, namespace=RECYCLER_NAMESPACE, uid=uid_of(pod), cause=cause)
    if status["phase"] != "Succeeded":
        why = status.get("message") or "pod failed, pod.Status.Message unknown"
        return Result(steps=[removal, *_fail(volume, "VolumeFailedRecycle", f"Recycle failed: {why}").steps])
    recycled = Notice(regarding=volume, reason="VolumeRecycled", message="Volume recycled")
    return Result(steps=[removal, _unbind(volume, "it is empty", success=recycled)])


def _why_not_deleted(volume: ReadOnlyObject) -> str:
    path = (volume["spec"].get("hostPath") or {}).get("path")
    if path is not None and not re.search("/tmp/.+", path):
        return f"host_path deleter only supports /tmp/.+ but received provided {path}"
    detail = "error getting deleter volume plugin for volume"
    return f'{detail} "{name_of(volume)}": no deletable volume plugin matched'


def _report_mode(volume: ReadOnlyObject, claim: ReadOnlyObject) -> Result:
    why = "due to incompatible volumeMode."
    of_volume = f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{name_of(claim)}" {why}'
    of_claim = f'Cannot bind PersistentVolume "{name_of(volume)}" to requested PersistentVolumeClaim {why}'
    messages = ((volume, of_volume), (claim, of_claim))
    return Result(
        steps=[
            Notice(regarding=obj, type="Warning", reason="VolumeMismatch", message=message) for obj, message in messages
        ]
    )


def _let_go(volume: ReadOnlyObject, view: View) -> Result:
    """The claim is bound to another volume: this one was taken in vain."""
    is_made_for_it = PROVISIONED_BY in annotations_of(volume)
    if is_made_for_it and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        return _release(volume, view)
    return Result(steps=[_unbind(volume, "its claim is bound to another volume")])


def _unbind(volume: ReadOnlyObject, cause: str, *, success: Notice | None = None) -> Update:
    """Free the volume; one that its user keeps for a claim of that name stays kept."""
    spec = dict(volume["spec"])
    metadata = dict(volume["metadata"])
    if BOUND_BY_CONTROLLER in annotations_of(volume):
        del spec["claimRef"]
        metadata["annotations"] = {
            name: value for name, value in annotations_of(volume).items() if name != BOUND_BY_CONTROLLER
        }
    else:
        spec["claimRef"] = {key: value for key, value in spec["claimRef"].items() if key != "uid"}
    freed = {**volume, "metadata": metadata, "spec": spec}
    return Update(kind=PERSISTENT_VOLUMES, obj=freed, cause=cause, success=success)


def _fail(volume: ReadOnlyObject, reason: str, message: str) -> Result:
    steps = _phase(volume, "Failed", message)
    if steps:
        steps.append(Notice(regarding=volume, type="Warning", reason=reason, message=message))
    return Result(steps=steps)


def _phase(volume: ReadOnlyObject, phase: str, message: str = "") -> list[Step]:
    old = volume.get("status") or {}
    if old.get("phase") == phase and (old.get("message") or "") == message:
        return []
    status: Object = {**old, "phase": phase}
    status.pop("message", None)
    if message:
        status["message"] = message
    cause = f"the volume is {phase}"
    return [Update(kind=PERSISTENT_VOLUMES, obj={**volume, "status": status}, cause=cause, subresource="status")]


def _keys_of_claim(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    """The volume a claim names, and while it names none the volumes that name it."""
    claim = new or old
    assert claim is not None
    names = {one["spec"].get("volumeName") for one in (old, new) if one is not None}
    names |= {name_of(volume) for volume in view.list(PERSISTENT_VOLUMES) if _is_for(volume, claim)}
    return [name for name in names if name]


def _is_for(volume: ReadOnlyObject, claim: ReadOnlyObject) -> bool:
    return (volume["spec"].get("claimRef") or {}).get("uid") == uid_of(claim)


def _keys_of_recycler(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    pod = new or old
    name = recycled_volume(pod) if pod is not None else ""
    return (name,) if name else ()


VOLUME_BINDER = Controller(
    name="persistentvolume-binder",
    watches=(
        Watch(kind=PERSISTENT_VOLUMES, keys=present_key),
        Watch(kind=PERSISTENT_VOLUME_CLAIMS, keys=_keys_of_claim),
        Watch(kind=PODS, keys=_keys_of_recycler),
    ),
    reconcile=reconcile_volume,
)
