"""Claims, volumes and VolumeAttributesClasses that are deleted while in use go when their last user has gone.

Admission gives each of them a finalizer; these controllers take it away again: from a claim when no scheduled Pod
names it any more, from a volume when it is no longer bound, from a class when no claim and no volume names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from control.api.builtin_kinds import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    VOLUME_ATTRIBUTES_CLASSES,
)
from control.api.kinds import Kind
from control.api.meta import is_deleting, namespaced_key, object_key
from control.api.objects import Object, ReadOnlyObject
from control.api.volumes import claim_name_of
from control.client.controller import Controller, Watch
from control.client.view import View
from control.client.writes import Result, Update

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
ATTRIBUTES_FINALIZER = "kubernetes.io/vac-protection"


def reconcile_claim(key: str, view: View, now: datetime) -> Result:
    """Decide whether a claim that is being deleted may go."""
    claim = view.find_key(PERSISTENT_VOLUME_CLAIMS, key)
    if claim is None or not _waits_for(claim, CLAIM_FINALIZER):
        return Result()
    metadata = claim["metadata"]
    if any(metadata["name"] in claims_of(pod) for pod in view.list(PODS, metadata["namespace"])):
        return Result()
    return _release(PERSISTENT_VOLUME_CLAIMS, claim, CLAIM_FINALIZER, "no Pod uses the deleted claim any more")


def reconcile_volume(key: str, view: View, now: datetime) -> Result:
    """Decide whether a volume that is being deleted may go."""
    volume = view.find_key(PERSISTENT_VOLUMES, key)
    if volume is None or not _waits_for(volume, VOLUME_FINALIZER):
        return Result()
    if (volume.get("status") or {}).get("phase") == "Bound":
        return Result()
    return _release(PERSISTENT_VOLUMES, volume, VOLUME_FINALIZER, "no claim uses the deleted volume any more")


def reconcile_attributes(key: str, view: View, now: datetime) -> Result:
    """Decide whether a VolumeAttributesClass that is being deleted may go."""
    attributes_class = view.find_key(VOLUME_ATTRIBUTES_CLASSES, key)
    if attributes_class is None or not _waits_for(attributes_class, ATTRIBUTES_FINALIZER):
        return Result()
    for kind in (PERSISTENT_VOLUMES, PERSISTENT_VOLUME_CLAIMS):
        if any(key in attributes_classes_of(user) for user in view.list(kind)):
            return Result()
    cause = "no claim and no volume uses the deleted class any more"
    return _release(VOLUME_ATTRIBUTES_CLASSES, attributes_class, ATTRIBUTES_FINALIZER, cause)


def attributes_classes_of(user: ReadOnlyObject) -> set[str]:
    """Return the VolumeAttributesClasses of a volume or claim: the wanted one, and for a claim what it has and what it
    is being changed to.
    """
    status = user.get("status") or {}
    names = (
        user["spec"].get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return {name for name in names if name}


def claims_of(pod: ReadOnlyObject) -> set[str]:
    """Return the names of the claims that a scheduled Pod keeps; one without a node cannot start with them any more.

    The claims of its ephemeral volumes are kept until its node is done with it. Its object may have to wait longer, for
    these very claims: they are the Pod's, and it is deleted after what it owns.
    """
    if not pod["spec"].get("nodeName"):
        return set()
    is_shut_down = is_deleting(pod) and pod["metadata"].get("deletionGracePeriodSeconds") == 0
    volumes = [volume for volume in pod["spec"].get("volumes") or () if not (is_shut_down and volume.get("ephemeral"))]
    return {name for volume in volumes if (name := claim_name_of(pod, volume))}


def _waits_for(obj: ReadOnlyObject, finalizer: str) -> bool:
    return is_deleting(obj) and finalizer in (obj["metadata"].get("finalizers") or ())


def _release(kind: Kind, obj: Object, finalizer: str, cause: str) -> Result:
    kept = [item for item in obj["metadata"]["finalizers"] if item != finalizer]
    released = {**obj, "metadata": {**obj["metadata"], "finalizers": kept}}
    return Result(steps=[Update(kind=kind, obj=released, cause=cause)])


def _own_key(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    return (object_key(new),) if new is not None and is_deleting(new) else ()


def _keys_of_pod(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    if old is None:
        return ()
    freed = claims_of(old) - (claims_of(new) if new is not None else set())
    return [namespaced_key(old["metadata"]["namespace"], name) for name in freed]


def _attributes_no_longer_used(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    if old is None:
        return ()
    return attributes_classes_of(old) - (attributes_classes_of(new) if new is not None else set())


CLAIM_PROTECTION = Controller(
    name="pvc-protection",
    watches=(Watch(kind=PERSISTENT_VOLUME_CLAIMS, keys=_own_key), Watch(kind=PODS, keys=_keys_of_pod)),
    reconcile=reconcile_claim,
)
VOLUME_PROTECTION = Controller(
    name="pv-protection", watches=(Watch(kind=PERSISTENT_VOLUMES, keys=_own_key),), reconcile=reconcile_volume
)
ATTRIBUTES_PROTECTION = Controller(
    name="volumeattributesclass-protection",
    watches=(
        Watch(kind=VOLUME_ATTRIBUTES_CLASSES, keys=_own_key),
        Watch(kind=PERSISTENT_VOLUME_CLAIMS, keys=_attributes_no_longer_used),
        Watch(kind=PERSISTENT_VOLUMES, keys=_attributes_no_longer_used),
    ),
    reconcile=reconcile_attributes,
)
