"""Expansion: a bound claim that asks for more than it has gets it, where its volume can grow.

A local volume is a directory of the node's disk and has no size of its own, so growing it is writing the larger number
down. So it is for a local volume that a user made, once that user says that it has grown; a file system on a device
grows where it is mounted. Volumes of other drivers are theirs to grow, as with upstream's expand controller.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from control.api.meta import annotations_of
from control.api.objects import Object, ReadOnlyObject
from control.api.quantity import parse_quantity
from control.api.volumes import LOCAL_PROVISIONER, PROVISIONED_BY, is_claim_bound
from control.client.controller import Controller, Watch, present_key
from control.client.view import View
from control.client.writes import Notice, Result, Update


def reconcile(key: str, view: View, now: datetime) -> Result:
    """Decide the next step of one claim's growth: first the volume, then the claim's status."""
    claim = view.find_key(PERSISTENT_VOLUME_CLAIMS, key)
    if claim is None or not is_claim_bound(claim) or (claim.get("status") or {}).get("phase") != "Bound":
        return Result()
    wanted = str(claim["spec"]["resources"]["requests"]["storage"])
    if _size(wanted) <= _size((claim["status"].get("capacity") or {}).get("storage", "0")):
        return Result()
    volume = view.find(PERSISTENT_VOLUMES, claim["spec"]["volumeName"])
    if volume is None:
        return Result()
    if _size((volume["spec"].get("capacity") or {}).get("storage", "0")) < _size(wanted):
        if annotations_of(volume).get(PROVISIONED_BY) == LOCAL_PROVISIONER:
            return Result(steps=[_grow_volume(volume, wanted)])
        return _wait_for_others(claim)
    if not volume["spec"].get("local"):
        return _wait_for_others(claim)
    return Result(steps=[_grow_claim(claim, str(volume["spec"]["capacity"]["storage"]))])


def _wait_for_others(claim: ReadOnlyObject) -> Result:
    message = "waiting for an external controller to expand this PVC"
    return Result(steps=[Notice(regarding=claim, reason="ExternalExpanding", message=message)])


def _grow_volume(volume: ReadOnlyObject, wanted: str) -> Update:
    spec = {**volume["spec"], "capacity": {**volume["spec"].get("capacity", {}), "storage": wanted}}
    return Update(kind=PERSISTENT_VOLUMES, obj={**volume, "spec": spec}, cause="its claim asks for more")


def _grow_claim(claim: ReadOnlyObject, capacity: str) -> Update:
    """As a resizer leaves it: what was allocated is what the claim has (KEP-1790)."""
    old = claim["status"]
    status: Object = {**old}
    for field in ("capacity", "allocatedResources"):
        status[field] = {**(old.get(field) or {}), "storage": capacity}
    return Update(
        kind=PERSISTENT_VOLUME_CLAIMS,
        obj={**claim, "status": status},
        cause="its volume has grown",
        subresource="status",
        success=Notice(regarding=claim, reason="VolumeResizeSuccessful", message="Resize volume succeeded"),
    )


def _size(quantity: str) -> int:
    return parse_quantity(quantity).nanos


def _key_of_claim(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    reference = new["spec"].get("claimRef") if new is not None else None
    return (f"{reference.get('namespace')}/{reference.get('name')}",) if reference else ()


VOLUME_EXPANDER = Controller(
    name="persistentvolume-expander",
    watches=(
        Watch(kind=PERSISTENT_VOLUME_CLAIMS, keys=present_key),
        Watch(kind=PERSISTENT_VOLUMES, keys=_key_of_claim),
    ),
    reconcile=reconcile,
)
