"""Volumes: the phase of each, and what becomes of one whose claim has gone.

The rules are those of upstream's persistentvolume controller (syncVolume, reclaimVolume; v1.36).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from control.api.meta import annotations_of, is_deleting, name_of, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.volumes import BOUND_BY_CONTROLLER, PROVISIONED_BY, volume_mode
from control.client.controller import Controller, Watch, present_key
from control.client.view import View
from control.client.writes import Notice, Result, Step, Update


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
        return _release(volume)
    volume_name = claim["spec"].get("volumeName")
    if not volume_name:  # the claim's turn, which will not come to a volume of another mode
        return _report_mode(volume, claim) if volume_mode(volume) != volume_mode(claim) else Result()
    if volume_name == name_of(volume):
        return Result(steps=_phase(volume, "Bound"))
    return _let_go(volume)


def _release(volume: ReadOnlyObject) -> Result:
    """The claim has gone: reclaim the volume as its policy says."""
    phase = (volume.get("status") or {}).get("phase")
    if phase not in ("Released", "Failed"):
        return Result(steps=_phase(volume, "Released"))
    policy = volume["spec"].get("persistentVolumeReclaimPolicy") or "Retain"
    if policy == "Retain" or is_deleting(volume) or phase == "Failed":
        return Result()
    if policy == "Recycle":
        return _fail(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
    if PROVISIONED_BY in annotations_of(volume):
        return Result()  # whoever made the volume deletes it
    if volume["spec"].get("csi"):
        return Result()  # its driver does
    return _fail(volume, "VolumeFailedDelete", _why_not_deleted(volume))


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


def _let_go(volume: ReadOnlyObject) -> Result:
    """The claim is bound to another volume: this one was taken in vain."""
    is_made_for_it = PROVISIONED_BY in annotations_of(volume)
    if is_made_for_it and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        return _release(volume)
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
    return Result(steps=[Update(kind=PERSISTENT_VOLUMES, obj=freed, cause="its claim is bound to another volume")])


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


VOLUME_BINDER = Controller(
    name="persistentvolume-binder",
    watches=(
        Watch(kind=PERSISTENT_VOLUMES, keys=present_key),
        Watch(kind=PERSISTENT_VOLUME_CLAIMS, keys=_keys_of_claim),
    ),
    reconcile=reconcile_volume,
)
