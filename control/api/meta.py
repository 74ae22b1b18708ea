"""Object metadata and conditions: keys, owner references, labels. Pure helpers every part shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time


def object_key(obj: ReadOnlyObject) -> str:
    """`namespace/name`, or the name alone for an object without a namespace."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def namespaced_key(namespace: str | None, name: str) -> str:
    """Key of an object by its parts; the namespace may be empty."""
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> tuple[str, str]:
    """Return (namespace, name); the namespace is empty for a cluster-scoped key."""
    namespace, slash, name = key.rpartition("/")
    return (namespace, name) if slash else ("", key)


def name_of(obj: ReadOnlyObject) -> str:
    """metadata.name."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: ReadOnlyObject) -> str:
    """metadata.namespace, empty for a cluster-scoped object."""
    return str(obj["metadata"].get("namespace") or "")


def uid_of(obj: ReadOnlyObject) -> str:
    """metadata.uid, empty before the object is stored."""
    return str(obj["metadata"].get("uid") or "")


def labels_of(obj: ReadOnlyObject) -> Mapping[str, str]:
    """metadata.labels, empty when absent. Read-only."""
    labels: Mapping[str, str] = (obj.get("metadata") or {}).get("labels") or {}
    return labels


def annotations_of(obj: ReadOnlyObject) -> Mapping[str, str]:
    """metadata.annotations, empty when absent. Read-only."""
    annotations: Mapping[str, str] = (obj.get("metadata") or {}).get("annotations") or {}
    return annotations


def is_deleting(obj: ReadOnlyObject) -> bool:
    """Whether the object is marked for deletion."""
    return bool((obj.get("metadata") or {}).get("deletionTimestamp"))


def owner_references_of(obj: ReadOnlyObject) -> Sequence[Mapping[str, Any]]:
    """metadata.ownerReferences, empty when absent. Read-only."""
    references: Sequence[Mapping[str, Any]] = (obj.get("metadata") or {}).get("ownerReferences") or ()
    return references


def controller_of(obj: ReadOnlyObject) -> Mapping[str, Any] | None:
    """Return the owner reference of the managing controller, or None."""
    for reference in owner_references_of(obj):
        if reference.get("controller"):
            return reference
    return None


def is_controlled_by(obj: ReadOnlyObject, owner: ReadOnlyObject) -> bool:
    """Whether `owner` (by uid) is the managing controller of `obj`."""
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == uid_of(owner)


def make_owner_reference(obj: ReadOnlyObject, *, controller: bool = True) -> Object:
    """Make a reference to `obj`; a controller's reference also blocks the owner's foreground deletion."""
    reference: Object = {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
    }
    if controller:
        reference["controller"] = True
        reference["blockOwnerDeletion"] = True
    return reference


def find_condition(conditions: Iterable[Mapping[str, Any]] | None, type: str) -> Mapping[str, Any] | None:
    """Return the condition of a type, or None."""
    for condition in conditions or ():
        if condition.get("type") == type:
            return condition
    return None


def is_condition_true(conditions: Iterable[Mapping[str, Any]] | None, type: str) -> bool:
    """Whether the condition exists and its status is True."""
    condition = find_condition(conditions, type)
    return condition is not None and condition.get("status") == "True"


def set_condition(conditions: list[Object], condition: Object, now: datetime) -> bool:
    """Add or replace a condition in place; returns whether anything changed.

    The new condition replaces the old one whole: a reason it does not give is gone. lastTransitionTime moves only when
    the status does; the caller leaves it out, or gives the one a new status gets.
    """
    stamp = condition.get("lastTransitionTime") or format_time(now)
    for index, current in enumerate(conditions):
        if current.get("type") != condition["type"]:
            continue
        if current.get("status") == condition.get("status"):
            stamp = current.get("lastTransitionTime") or stamp
        # A null says no more than an absent field, but taking it away would look like a change.
        nulls = {key: None for key, value in current.items() if value is None}
        updated = {**nulls, **condition, "lastTransitionTime": stamp}
        if updated == current:
            return False
        conditions[index] = updated
        return True
    conditions.append({**condition, "lastTransitionTime": stamp})
    return True
