"""managedFields on every write: who set which field, by the server's own record of the write."""

from __future__ import annotations

from typing import Any

from control.api.objects import Object, ReadOnlyObject
from control.apiserver.registry.served_kind import ServedKind
from control.apiserver.registry.write_request import WriteRequest


def record_create(served: ServedKind, write: WriteRequest, obj: Object) -> None:
    """Record the fields a create sets."""


def record_update(served: ServedKind, write: WriteRequest, live: ReadOnlyObject, obj: Object) -> None:
    """Record the fields an update changes, in place."""


def restore_times_of_no_change(obj: Object, old: ReadOnlyObject) -> None:
    """If nothing but the times in managedFields differs, take the old ones, so that the write is seen to change nothing.

    Upstream's rule (fieldmanager.IgnoreManagedFieldsTimestampsTransformer): without it every re-sent object would be a
    new revision.
    """
    entries, old_entries = _entries(obj), _entries(old)
    if entries == old_entries or len(entries) != len(old_entries):
        return
    if any(_without_time(left) != _without_time(right) for left, right in zip(entries, old_entries, strict=True)):
        return
    if all(obj.get(key) == old.get(key) for key in obj.keys() | old.keys() if key != "metadata"):
        metadata, old_metadata = obj["metadata"], old["metadata"]
        fields = (metadata.keys() | old_metadata.keys()) - _MANAGED
        if all(metadata.get(key) == old_metadata.get(key) for key in fields):
            metadata["managedFields"] = old_metadata["managedFields"]


_MANAGED = {"managedFields"}


def _entries(obj: ReadOnlyObject) -> list[dict[str, Any]]:
    return obj["metadata"].get("managedFields") or []


def _without_time(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "time"}
