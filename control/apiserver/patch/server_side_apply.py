"""Server-side apply: a manager states the fields it wants; what it no longer states and nobody else owns is removed.

The rules are those of structured-merge-diff's Updater and of the managers that k8s.io/apimachinery/pkg/util/
managedfields stacks on it: an object without a record is first recorded as `before-first-apply`; kubectl takes over
what its client-side applies set and keeps their annotation up to date.
"""

from __future__ import annotations

from dataclasses import replace

import orjson

from control.api.errors import ApiError, bad_request, quote
from control.api.objects import Object, ReadOnlyObject, copy_object
from control.apiserver.patch.compare import Comparison, compare_objects, fields_of
from control.apiserver.patch.configuration import configuration_errors, join_errors
from control.apiserver.patch.field_set import (
    FieldSet,
    difference,
    format_paths,
    intersection,
    recursive_difference,
    union,
)
from control.apiserver.patch.managed_fields import (
    APPLY,
    METADATA_ITSELF,
    UPDATE,
    Entries,
    FieldWriter,
    ManagedEntry,
    cap_updaters,
    decode_entries,
    remove_fields,
    set_entries,
    trim_object,
    update_entries,
)
from control.apiserver.patch.merge_configuration import merge_configuration, remove_paths, with_declared_fields
from control.schema.decoder import zero_object
from control.schema.structural import Schema

LAST_APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
ANNOTATIONS_BYTES_MAX = 256 * 1024
_BEFORE_FIRST_APPLY = "before-first-apply"
_KUBECTL = "kubectl"

Conflicts = list[tuple[ManagedEntry, FieldSet]]


class _ConflictError(Exception):
    """Fields the configuration changes that others own, per entry, in upstream's order."""

    def __init__(self, conflicts: Conflicts) -> None:
        super().__init__("conflict")
        self.conflicts = conflicts


def apply_configuration(
    live: ReadOnlyObject | None,
    configuration: Object,
    schema: Schema,
    writer: FieldWriter,
    *,
    kind: str,
    force: bool = False,
    reset: FieldSet | None = None,
) -> Object:
    """Return the object after the apply, managedFields included, not yet defaulted. `live` is None for a create.

    Raises ApiError in upstream's words: 400 for another type or a given record, 409 for conflicts, 500 for what the
    schema does not allow.
    """
    _check(configuration, schema, writer, kind)
    entries = decode_entries((live or {}).get("metadata", {}).get("managedFields") or []) or {}
    apply = _Apply(live, configuration, schema, writer, reset or {})
    if not entries and live is not None:
        entries = apply.record_before_first_apply()
    try:
        result, entries = apply.run(entries, force=force)
    except _ConflictError as error:
        result, entries = _resolve_for_kubectl(apply, entries, error)
    if result.get("metadata") is None:
        result["metadata"] = {}
    set_entries(result, cap_updaters(entries).values())
    if writer.manager == _KUBECTL:
        _update_last_applied(result, configuration)
    return result


def _check(configuration: Object, schema: Schema, writer: FieldWriter, kind: str) -> None:
    given = (configuration.get("apiVersion") or "", configuration.get("kind") or "")
    if given != (writer.api_version, kind):
        raise bad_request(f"invalid object type: {_format_type(*given)}")
    metadata = configuration.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    errors = configuration_errors(configuration, schema)
    if errors:
        identity = f"{metadata.get('namespace') or ''}/{metadata.get('name') or ''}; {_format_type(*given)}"
        raise ApiError(500, "", f"failed to create typed patch object ({identity}): {join_errors(errors)}")


def _format_type(api_version: str, kind: str) -> str:
    group_version = api_version if "/" in api_version else f"/{api_version}"
    return f"{group_version}, Kind={kind}"


class _Apply:
    """One apply: what does not change between the attempt that asks and the one that forces."""

    def __init__(
        self,
        live: ReadOnlyObject | None,
        configuration: Object,
        schema: Schema,
        writer: FieldWriter,
        reset: FieldSet,
    ) -> None:
        self.live = live
        self.configuration = configuration
        self.schema = schema
        self.writer = writer
        self.reset = reset

    def record_before_first_apply(self) -> Entries:
        """The record of an object nobody has a record of: all it has belongs to one updater."""
        assert self.live is not None
        writer = FieldWriter(
            manager=_BEFORE_FIRST_APPLY,
            api_version=self.writer.api_version,
            subresource=self.writer.subresource,
            time=self.writer.time,
        )
        before, after = zero_object(self.schema), trim_object(self.live)
        return update_entries({}, before, after, self.schema, writer, reset=self.reset)

    def run(self, entries: Entries, *, force: bool) -> tuple[Object, Entries]:
        """Merge, prune and settle ownership. Raises _ConflictError unless forced."""
        live = self.live if self.live is not None else {}
        own = self._own_entry()
        last = entries.get(own.identity)
        entries = {**entries, own.identity: own}
        merged = merge_configuration(live, self.configuration, self.schema)
        if last is not None and last.fields:
            merged = self._prune(merged, entries, last.fields)
        before = trim_object(live) if self.live is not None else zero_object(self.schema)
        comparison = compare_objects(before, trim_object(merged), self.schema)
        entries = self._settle(entries, own, comparison.without(self.reset), force=force)
        if own.identity in entries:
            is_same = self.live is not None and comparison.is_same
            time = (last.time if last is not None else "") if is_same else self.writer.time
            entries[own.identity] = replace(own, time=time)
        return merged, entries

    def _own_entry(self) -> ManagedEntry:
        fields = recursive_difference(fields_of(trim_object(self.configuration), self.schema), self.reset)
        fields = difference(fields, METADATA_ITSELF)
        return ManagedEntry(
            manager=self.writer.manager or "unknown",
            operation=APPLY,
            api_version=self.writer.api_version,
            subresource=self.writer.subresource,
            fields=fields,
        )

    def _prune(self, merged: Object, entries: Entries, last: FieldSet) -> Object:
        """Remove what this manager applied last time and not now, unless somebody owns it."""
        schema = self.schema
        last = with_declared_fields(last, schema)
        merged_fields = with_declared_fields(fields_of(merged, schema), schema)
        pruned = remove_paths(merged, last, schema)
        owned: FieldSet = {}
        for entry in entries.values():
            owned = union(owned, entry.fields)
        kept = union(
            with_declared_fields(fields_of(pruned, schema), schema),
            with_declared_fields(owned, schema),
        )
        pruned = remove_paths(merged, difference(merged_fields, kept), schema)
        pruned_fields = with_declared_fields(fields_of(pruned, schema), schema)
        removed = intersection(difference(merged_fields, pruned_fields), last)
        result: Object = remove_paths(merged, removed, schema)
        return result

    def _settle(self, entries: Entries, own: ManagedEntry, comparison: Comparison, *, force: bool) -> Entries:
        others = {identity: entry for identity, entry in entries.items() if identity != own.identity}
        changed = comparison.changed
        taken = [(entry, intersection(entry.fields, changed)) for entry in others.values()]
        conflicts = [(entry, fields) for entry, fields in taken if fields]
        if conflicts and not force:
            raise _ConflictError(sorted(conflicts, key=lambda conflict: conflict[0].identity_text))
        result = remove_fields(others, changed, comparison.removed)
        if own.fields:
            result[own.identity] = own
        return result


# -- conflicts ---------------------------------------------------------------------------------------------------


def _resolve_for_kubectl(apply: _Apply, entries: Entries, error: _ConflictError) -> tuple[Object, Entries]:
    """kubectl owns what its client-side applies set: force if the conflicts are all of that kind, else raise 409."""
    conflicts = error.conflicts
    allowed = _last_applied_fields(apply) if apply.writer.manager == _KUBECTL else None
    if allowed is not None:
        left = [(entry, difference(fields, allowed)) for entry, fields in conflicts]
        conflicts = [(entry, fields) for entry, fields in left if fields]
        if not conflicts:
            return apply.run(entries, force=True)
    raise conflict_error(conflicts) from None


def conflict_error(conflicts: Conflicts) -> ApiError:
    """409 with a cause per field."""
    causes = []
    blocks = []
    for entry, fields in conflicts:
        paths = format_paths(fields)
        owner = _describe(entry)
        causes += [
            {"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": path} for path in paths
        ]
        blocks.append("\n".join([f"conflicts with {owner}:", *(f"- {path}" for path in paths)]))
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(blocks)
    return ApiError(409, "Conflict", message, details={"causes": causes})


def _describe(entry: ManagedEntry) -> str:
    text = quote(entry.manager)
    if entry.subresource:
        text += f" with subresource {quote(entry.subresource)}"
    return f"{text} using {entry.api_version}" if entry.operation == UPDATE else text


# -- kubectl's annotation ------------------------------------------------------------------------------------------


def _last_applied_fields(apply: _Apply) -> FieldSet | None:
    """The fields kubectl's last client-side apply set that still are as it set them; None without an annotation."""
    live = apply.live or {}
    text = (live.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED_ANNOTATION)
    if not text:
        return None
    try:
        applied = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(applied, dict) or not applied.get("kind"):
        return None
    if applied.get("apiVersion") != apply.writer.api_version or configuration_errors(applied, apply.schema):
        return None
    trimmed = trim_object(applied)
    comparison = compare_objects(trimmed, trim_object(live), apply.schema)
    fields = fields_of(trimmed, apply.schema)
    for changed in (comparison.modified, comparison.added, comparison.removed):
        fields = difference(fields, changed)
    return fields


def _update_last_applied(result: Object, configuration: Object) -> None:
    """Write the annotation anew where there is one, unless all annotations would be too large with it."""
    annotations = result["metadata"].get("annotations") or {}
    if not annotations.get(LAST_APPLIED_ANNOTATION):
        return
    applied = copy_object(configuration)
    own_annotations = applied["metadata"].get("annotations")
    if isinstance(own_annotations, dict):
        own_annotations.pop(LAST_APPLIED_ANNOTATION, None)
        if not own_annotations:
            del applied["metadata"]["annotations"]
    text = orjson.dumps(applied, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    annotations[LAST_APPLIED_ANNOTATION] = text
    if sum(len(name.encode()) + len(value.encode()) for name, value in annotations.items()) > ANNOTATIONS_BYTES_MAX:
        del annotations[LAST_APPLIED_ANNOTATION]
