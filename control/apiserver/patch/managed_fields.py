"""metadata.managedFields: which manager set which field.

`record_update` keeps the record for every create, update and patch; `server_side_apply.py` for applies. The rules are
those of k8s.io/apimachinery/pkg/util/managedfields: a changed field belongs to who changed it; entries are per
manager, operation, version and subresource; an object whose record is empty is not tracked until something is
applied; more than ten updaters are merged, the oldest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from control.api.objects import Object, ReadOnlyObject
from control.api.records import record
from control.apiserver.patch.compare import compare_objects
from control.apiserver.patch.field_set import (
    FieldSet,
    difference,
    from_paths,
    is_field_set,
    recursive_difference,
    sort_steps,
    union,
)
from control.schema.decoder import zero_object
from control.schema.structural import Schema

APPLY = "Apply"
UPDATE = "Update"

UPDATE_MANAGERS_MAX = 10
_ANCIENT_CHANGES = "ancient-changes"

#: The path `metadata` alone, which nobody owns.
METADATA_ITSELF = from_paths(("metadata",))

_STRIPPED_METADATA = frozenset(
    (
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    )
)


@record(frozen=True, slots=True, kw_only=True)
class FieldWriter:
    """Who writes: `manager` through which API version and subresource, and when (RFC 3339, seconds)."""

    manager: str
    api_version: str
    subresource: str = ""
    time: str


@record(frozen=True, slots=True, kw_only=True)
class ManagedEntry:
    """One entry of managedFields. `stored` is its encoded form where it is as the store has it."""

    manager: str
    operation: str
    api_version: str
    subresource: str = ""
    time: str = ""
    fields: FieldSet
    stored: Object | None = None

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What makes two entries the same; an applier is the same whatever version it used."""
        version = "" if self.operation == APPLY else self.api_version
        return self.manager, self.operation, version, self.subresource

    @property
    def identity_text(self) -> str:
        """The identity as upstream writes it (a JSON text), by which conflicts are sorted."""
        manager, operation, api_version, subresource = self.identity
        parts = {"manager": manager, "operation": operation, "apiVersion": api_version, "subresource": subresource}
        return orjson.dumps({name: value for name, value in parts.items() if value}).decode()

    def with_fields(self, fields: FieldSet) -> ManagedEntry:
        """The entry with another set."""
        return replace(self, fields=fields, stored=None)


Entries = dict[tuple[str, str, str, str], ManagedEntry]


def reset_fields(*, has_status: bool, subresource: str = "") -> FieldSet:
    """Fields a write through this endpoint cannot set, so that nobody owns them by trying."""
    if subresource == "status":
        return from_paths(("spec",))
    return from_paths(("status",)) if has_status and not subresource else {}


def record_update(
    live: ReadOnlyObject | None, obj: Object, schema: Schema, writer: FieldWriter, *, reset: FieldSet | None = None
) -> None:
    """Set the managedFields of an object that is about to be created (`live` None) or updated.

    Call it where upstream does: after decoding and defaulting, before mutating admission. A client may rewrite the
    record by sending one; `[{}]` clears it.
    """
    entries = _choose_entries(live, obj, writer)
    metadata: Object = obj["metadata"]
    metadata.pop("managedFields", None)
    if not entries and live is not None:
        return
    before = trim_object(live) if live is not None else zero_object(schema)
    entries = update_entries(entries, before, trim_object(obj), schema, writer, reset=reset or {})
    set_entries(obj, cap_updaters(entries).values())


def update_entries(
    entries: Entries,
    before: Any,
    after: Any,
    schema: Schema,
    writer: FieldWriter,
    *,
    reset: FieldSet,
) -> Entries:
    """Give what differs between two trimmed objects to the writer, and take it from everyone else."""
    comparison = compare_objects(before, after, schema).without(reset)
    changed = comparison.changed
    result = remove_fields(entries, changed, comparison.removed)
    owned = recursive_difference(difference(changed, METADATA_ITSELF), reset)
    if owned:
        entry = ManagedEntry(
            manager=writer.manager or "unknown",
            operation=UPDATE,
            api_version=writer.api_version,
            subresource=writer.subresource,
            time=writer.time,
            fields=owned,
        )
        previous = result.get(entry.identity)
        if previous is not None:
            entry = entry.with_fields(union(owned, previous.fields))
        result[entry.identity] = entry
    return result


def remove_fields(entries: Entries, *removed: FieldSet) -> Entries:
    """Take fields from all entries; entries that own nothing any more vanish."""
    result: Entries = {}
    for identity, entry in entries.items():
        fields = entry.fields
        for paths in removed:
            fields = difference(fields, paths)
        if fields:
            result[identity] = entry if fields is entry.fields else entry.with_fields(fields)
    return result


def record_scale(
    entries: Sequence[Any], *, manager: str, api_version: str, replicas_path: tuple[str, ...] = ("spec", "replicas")
) -> list[Object]:
    """The managedFields of an object whose replicas were changed through its scale subresource.

    Upstream records no time for these.
    """
    path = from_paths(replicas_path)
    entry = ManagedEntry(
        manager=manager or "unknown", operation=UPDATE, api_version=api_version, subresource="scale", fields=path
    )
    decoded = decode_entries(entries) or {}
    kept = remove_fields(decoded, path)
    if entry.identity in decoded:
        kept[entry.identity] = decoded[entry.identity]
    else:
        kept[entry.identity] = entry
    return encode_entries(kept.values())


def scale_entries(entries: Sequence[Any], replicas_path: tuple[str, ...] = ("spec", "replicas")) -> list[Object]:
    """The managedFields of an object's Scale: those who set the replicas of the object, and nothing else of theirs."""
    path = from_paths(replicas_path)
    owners = [entry for entry in (decode_entries(entries) or {}).values() if not difference(path, entry.fields)]
    return encode_entries(
        [replace(entry, api_version="autoscaling/v1", fields=from_paths(("spec", "replicas"))) for entry in owners]
    )


def adopt_scale_entries(
    entries: Sequence[Any],
    scale: Sequence[Any],
    *,
    api_version: str,
    replicas_path: tuple[str, ...] = ("spec", "replicas"),
) -> list[Object]:
    """The managedFields of an object after an apply to its Scale, which gave the Scale's record a new form.

    Who is not in that record any more has lost the replicas; who is new owns them through the subresource. As with
    `record_scale` there is no time.
    """
    path = from_paths(replicas_path)
    owners = {_scale_owner(entry): entry for entry in (decode_entries(scale) or {}).values() if entry.fields}
    kept: list[ManagedEntry] = []
    for entry in (decode_entries(entries) or {}).values():
        if difference(path, entry.fields) or owners.pop(_scale_owner(entry), None) is not None:
            kept.append(entry)
        elif rest := difference(entry.fields, path):
            kept.append(entry.with_fields(rest))
    kept += [replace(entry, api_version=api_version, time="", fields=path) for entry in owners.values()]
    return encode_entries(kept)


def _scale_owner(entry: ManagedEntry) -> tuple[str, str, str]:
    return entry.manager, entry.operation, entry.subresource


def trim_object(obj: ReadOnlyObject) -> Object:
    """The object without what nobody owns: its type, identity and the record itself."""
    trimmed = {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}
    metadata = obj.get("metadata") or {}
    trimmed["metadata"] = {name: value for name, value in metadata.items() if name not in _STRIPPED_METADATA}
    return trimmed


def _choose_entries(live: ReadOnlyObject | None, obj: ReadOnlyObject, writer: FieldWriter) -> Entries:
    live_entries = (live or {}).get("metadata", {}).get("managedFields") or []
    if not writer.subresource:
        given = obj["metadata"].get("managedFields") or []
        if given != live_entries:
            if is_reset(given):
                return {}
            decoded = decode_entries(given)
            if decoded:
                return decoded
    stored = (_decode_entry(raw, stored=raw) for raw in live_entries)
    return {entry.identity: entry for entry in stored}


def is_reset(entries: Any) -> bool:
    """Whether a client asks to clear the record: one entry that says nothing."""
    return isinstance(entries, list) and len(entries) == 1 and not entries[0]


def decode_entries(entries: Any) -> Entries | None:
    """Decode managedFields; None if they are malformed."""
    result: Entries = {}
    for raw in entries:
        if not isinstance(raw, dict) or raw.get("operation") not in (APPLY, UPDATE):
            return None
        fields = raw.get("fieldsV1") or {}
        if not raw.get("apiVersion") or raw.get("fieldsType") != "FieldsV1" or not is_field_set(fields):
            return None
        entry = _decode_entry(raw)
        result[entry.identity] = entry
    return result


def _decode_entry(raw: Object, *, stored: Object | None = None) -> ManagedEntry:
    return ManagedEntry(
        manager=raw.get("manager", ""),
        operation=raw["operation"],
        api_version=raw.get("apiVersion", ""),
        subresource=raw.get("subresource", ""),
        time=raw.get("time") or "",
        fields=raw.get("fieldsV1") or {},
        stored=stored,
    )


def set_entries(obj: Object, entries: Iterable[ManagedEntry]) -> None:
    """Write a record into an object; an empty one is left out."""
    encoded = encode_entries(entries)
    if encoded:
        obj["metadata"]["managedFields"] = encoded
    else:
        obj["metadata"].pop("managedFields", None)


def encode_entries(entries: Iterable[ManagedEntry]) -> list[Object]:
    """Encode entries in upstream's order: applies first, then by time, manager, version and subresource."""
    ordered = sorted(
        entries, key=lambda item: (item.operation, item.time, item.manager, item.api_version, item.subresource)
    )
    return [entry.stored or _encode_entry(entry) for entry in ordered]


def _encode_entry(entry: ManagedEntry) -> Object:
    encoded: Object = {"manager": entry.manager, "operation": entry.operation, "apiVersion": entry.api_version}
    if entry.time:
        encoded["time"] = entry.time
    encoded["fieldsType"] = "FieldsV1"
    encoded["fieldsV1"] = sort_steps(entry.fields)
    if entry.subresource:
        encoded["subresource"] = entry.subresource
    return encoded


def cap_updaters(entries: Entries) -> Entries:
    """Merge the oldest updaters of one version into one entry until no more than ten are left."""
    updaters = [entry for entry in entries.values() if entry.operation == UPDATE]
    if len(updaters) <= UPDATE_MANAGERS_MAX:
        return entries
    updaters.sort(key=lambda entry: (entry.time, entry.identity_text))
    result = dict(entries)
    first_of_version: dict[str, ManagedEntry] = {}
    excess = len(updaters) - UPDATE_MANAGERS_MAX
    for entry in updaters:
        if excess <= 0:
            break
        first = first_of_version.setdefault(entry.api_version, entry)
        if first is entry:
            continue
        bucket = ManagedEntry(
            manager=_ANCIENT_CHANGES, operation=UPDATE, api_version=entry.api_version, time=entry.time, fields={}
        )
        if bucket.identity not in result:
            result.pop(first.identity)
            merged = first.fields
        else:
            merged = result[bucket.identity].fields
        result.pop(entry.identity, None)
        result[bucket.identity] = bucket.with_fields(union(merged, entry.fields))
        excess -= 1
    return result
