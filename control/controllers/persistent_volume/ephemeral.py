"""Ephemeral volumes: the claim of a Pod's `ephemeral` volume, made from its template, owned by the Pod (KEP-1698)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from control.api.builtin_kinds import PERSISTENT_VOLUME_CLAIMS, PODS
from control.api.meta import controller_of, is_deleting, make_owner_reference, namespace_of, object_key, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_terminal
from control.api.volumes import claim_name_of
from control.client.controller import Controller, Watch
from control.client.view import View
from control.client.writes import Create, Notice, Result, Step


def reconcile(key: str, view: View, now: datetime) -> Result:
    """Make the claims that a Pod lacks; one of that name that belongs to somebody else is reported."""
    pod = view.find_key(PODS, key)
    if pod is None or is_deleting(pod) or is_terminal(pod):
        return Result()
    steps: list[Step] = []
    for volume in pod["spec"].get("volumes") or ():
        if not volume.get("ephemeral"):
            continue
        name = claim_name_of(pod, volume)
        existing = view.find(PERSISTENT_VOLUME_CLAIMS, name, namespace_of(pod))
        if existing is None:
            steps.append(_create(pod, name, volume["ephemeral"].get("volumeClaimTemplate") or {}))
        elif (controller_of(existing) or {}).get("uid") != uid_of(pod):
            message = f'PVC "{namespace_of(pod)}/{name}" was not created for pod "{key}" (pod is not owner)'
            reason = "EphemeralVolumeInvalid"
            steps.append(Notice(regarding=pod, type="Warning", reason=reason, message=message))
    return Result(steps=steps)


def _create(pod: ReadOnlyObject, name: str, template: ReadOnlyObject) -> Create:
    given = template.get("metadata") or {}
    metadata: Object = {
        "name": name,
        "namespace": namespace_of(pod),
        "ownerReferences": [make_owner_reference(pod)],
        **{field: dict(given[field]) for field in ("labels", "annotations") if given.get(field)},
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": template.get("spec") or {},
    }
    return Create(kind=PERSISTENT_VOLUME_CLAIMS, obj=claim, cause="the Pod has an ephemeral volume")


def _own_key(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    has_any = new is not None and any(volume.get("ephemeral") for volume in new["spec"].get("volumes") or ())
    return (object_key(new),) if new is not None and has_any else ()


def _key_of_owner(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    """A claim that is gone while its Pod still waits is made again."""
    owner = controller_of(old) if old is not None and new is None else None
    if old is None or owner is None or owner.get("kind") != "Pod":
        return ()
    return (f"{namespace_of(old)}/{owner['name']}",)


EPHEMERAL_VOLUMES = Controller(
    name="ephemeral-volume",
    watches=(
        Watch(kind=PODS, keys=_own_key),
        Watch(kind=PERSISTENT_VOLUME_CLAIMS, keys=_key_of_owner),
    ),
    reconcile=reconcile,
)
