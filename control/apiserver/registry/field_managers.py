"""managedFields on every write: who set which field, by the server's own record of the write."""

from __future__ import annotations

from typing import Any

from control.api.builtin_kinds import CERTIFICATE_SIGNING_REQUESTS
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time
from control.apiserver.patch.field_set import FieldSet, from_paths, union
from control.apiserver.patch.managed_fields import FieldWriter, record_update, reset_fields
from control.apiserver.registry.served_kind import ServedKind
from control.apiserver.registry.strategy import OWN_METADATA
from control.apiserver.registry.write_request import WriteRequest


def field_writer(served: ServedKind, write: WriteRequest) -> FieldWriter:
    """Who writes, as managedFields names it."""
    return FieldWriter(
        manager=write.options.field_manager,
        api_version=served.kind.api_version,
        subresource=write.subresource,
        time=format_time(write.now),
    )


def fields_reset_by(served: ServedKind, write: WriteRequest) -> FieldSet:
    """Fields the endpoint of a write does not let it set."""
    if served.kind is CERTIFICATE_SIGNING_REQUESTS and not write.subresource:
        return from_paths(("spec",), ("status",))  # a request is never edited, so nobody owns it
    strategy = served.strategy
    reset = reset_fields(has_status=strategy.has_status, subresource=write.subresource)
    if write.subresource != "status" or not strategy.kept_by_status:
        return reset
    if strategy.kept_by_status == OWN_METADATA:
        return union(reset, from_paths(("metadata",)))
    return union(reset, from_paths(*(("metadata", field) for field in strategy.kept_by_status)))


def record_create(served: ServedKind, write: WriteRequest, obj: Object) -> None:
    """Record the fields a create sets."""
    _record(served, write, None, obj)


def record_change(served: ServedKind, write: WriteRequest, live: ReadOnlyObject, obj: Object) -> None:
    """Record the fields an update changes, in place."""
    _record(served, write, live, obj)


def _record(served: ServedKind, write: WriteRequest, live: ReadOnlyObject | None, obj: Object) -> None:
    writer = field_writer(served, write)
    record_update(live, obj, served.schema, writer, reset=fields_reset_by(served, write))


def restore_times_of_no_change(obj: Object, old: ReadOnlyObject) -> None:
    """If nothing but the times in managedFields differs, take the old ones: the write then changes nothing.

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
