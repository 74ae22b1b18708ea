"""What it takes to bind a volume and a claim to one another: four writes, each decided anew from what is seen.

The order is upstream's and makes a crash between any two harmless: the volume names the claim first, so nobody else
can take it; the claim names the volume last, so a claim that looks bound is bound.
"""

from __future__ import annotations

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from control.api.meta import annotations_of, name_of, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.volumes import BIND_COMPLETED, BOUND_BY_CONTROLLER, reserve
from control.client.writes import Result, Step, Update


def bind(volume: ReadOnlyObject, claim: ReadOnlyObject) -> Result:
    """Decide the next write that brings volume and claim together; none is left when they are bound."""
    reference = volume["spec"].get("claimRef") or {}
    if reference.get("uid") != uid_of(claim):
        cause = "the volume is the best one for the claim"
        return Result(steps=[Update(kind=PERSISTENT_VOLUMES, obj=reserve(volume, claim), cause=cause)])
    spec = claim["spec"]
    if spec.get("volumeName") != name_of(volume) or BIND_COMPLETED not in annotations_of(claim):
        return Result(steps=[_name_volume(volume, claim)])
    return Result(steps=claim_status(claim, "Bound", volume))


def claim_status(claim: ReadOnlyObject, phase: str, volume: ReadOnlyObject | None = None) -> list[Step]:
    """The write that gives a claim its phase, and the modes and size of its volume; nothing if it has them."""
    old = claim.get("status") or {}
    status: Object = {**old, "phase": phase}
    if volume is None:
        for field in ("accessModes", "capacity"):
            status.pop(field, None)
    else:
        status["accessModes"] = volume["spec"].get("accessModes") or []
        # A claim that was bound before follows its volume's growth through the expander alone.
        if old.get("phase") != "Bound" or not old.get("capacity"):
            status["capacity"] = volume["spec"].get("capacity") or {}
    if status == old:
        return []
    cause = f"the claim is {phase}"
    return [Update(kind=PERSISTENT_VOLUME_CLAIMS, obj={**claim, "status": status}, cause=cause, subresource="status")]


def _name_volume(volume: ReadOnlyObject, claim: ReadOnlyObject) -> Update:
    """Likewise a claim that named its volume itself is not marked as our choice."""
    marks = [BIND_COMPLETED]
    if not claim["spec"].get("volumeName"):
        marks.append(BOUND_BY_CONTROLLER)
    annotations = {**annotations_of(claim), **dict.fromkeys(marks, "yes")}
    named: Object = {
        **claim,
        "metadata": {**claim["metadata"], "annotations": annotations},
        "spec": {**claim["spec"], "volumeName": name_of(volume)},
    }
    return Update(kind=PERSISTENT_VOLUME_CLAIMS, obj=named, cause="the volume is bound to the claim")
