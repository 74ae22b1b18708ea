"""What differs between two objects, as sets of field paths, and which fields an object has.

The schema decides how deep paths go: into structs, maps, lists with keys and sets; atomic maps and lists and scalars
are leaves. Where there is no schema, maps are entered and lists are leaves. The rules are those of
sigs.k8s.io/structured-merge-diff/typed.
"""

from __future__ import annotations

from typing import Any

import orjson

from control.api.records import record
from control.apiserver.patch.field_set import LEAF, SELF, FieldSet, recursive_difference, union
from control.schema.decoder import zero_value
from control.schema.structural import Presence, Schema

#: Stands for "no schema here".
UNTYPED = Schema()


@record(frozen=True, slots=True)
class Comparison:
    """Paths that only the second object has, that differ, that only the first has."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet

    @property
    def changed(self) -> FieldSet:
        """Added or modified."""
        return union(self.added, self.modified)

    def without(self, ignored: FieldSet) -> Comparison:
        """The comparison without some fields and all below them."""
        if not ignored:
            return self
        return Comparison(
            recursive_difference(self.added, ignored),
            recursive_difference(self.modified, ignored),
            recursive_difference(self.removed, ignored),
        )

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not (self.added or self.modified or self.removed)


def compare_objects(left: Any, right: Any, schema: Schema) -> Comparison:
    """Compare two objects of one kind."""
    added: FieldSet = {}
    modified: FieldSet = {}
    removed: FieldSet = {}
    _compare_maps(left, right, schema, (added, modified, removed))
    return Comparison(added, modified, removed)


_Outcome = tuple[FieldSet, FieldSet, FieldSet]


def _compare_maps(left: dict[str, Any], right: dict[str, Any], schema: Schema, outcome: _Outcome) -> None:
    for name, right_value in right.items():
        if name not in left:
            outcome[0]["f:" + name] = _members_of_field(right_value, schema, name)
        elif left[name] != right_value:
            _compare_values(left[name], right_value, field_schema(schema, name), "f:" + name, outcome)
    for name, left_value in left.items():
        if name not in right:
            outcome[2]["f:" + name] = _members_of_field(left_value, schema, name)


def _compare_values(left: Any, right: Any, schema: Schema, step: str, outcome: _Outcome) -> None:
    """Compare two unequal values at a step. Null and absent content count as empty."""
    if not left and not right:
        outcome[1][step] = LEAF
        return
    inner: _Outcome = ({}, {}, {})
    if is_granular_map(left or right, schema) and is_map_or_null(left) and is_map_or_null(right):
        _compare_maps(left or {}, right or {}, schema, inner)
    elif is_granular_list(left or right, schema) and _is_list_or_null(left) and _is_list_or_null(right):
        _compare_lists(left or [], right or [], schema, inner)
    else:
        outcome[1][step] = LEAF
        return
    for target, found in zip(outcome, inner, strict=True):
        if found:
            target[step] = found


def _compare_lists(left: list[Any], right: list[Any], schema: Schema, outcome: _Outcome) -> None:
    items = schema.items or UNTYPED
    left_items = index_items(left, schema)
    right_items = index_items(right, schema)
    for step, item in right_items.items():
        if step not in left_items:
            outcome[0][step] = members_of(item, items)
        elif left_items[step] != item:
            _compare_values(left_items[step], item, items, step, outcome)
    for step, item in left_items.items():
        if step not in right_items:
            outcome[2][step] = members_of(item, items)


def members_of(value: Any, schema: Schema) -> FieldSet:
    """The set of a value and everything below it: what appears or vanishes with it."""
    if not value:
        return LEAF
    result: FieldSet = {SELF: LEAF}
    if isinstance(value, dict):
        if not is_granular_map(value, schema):
            return LEAF
        for name, item in value.items():
            result["f:" + name] = _members_of_field(item, schema, name)
        return result
    if isinstance(value, list) and is_granular_list(value, schema):
        items = schema.items or UNTYPED
        for step, item in index_items(value, schema).items():
            result[step] = members_of(item, items)
        return result
    return LEAF


def _members_of_field(value: Any, schema: Schema, name: str) -> FieldSet:
    """The same of a field; most are scalars, which are leaves whatever their schema."""
    return members_of(value, field_schema(schema, name)) if isinstance(value, dict | list) else LEAF


def fields_of(value: Any, schema: Schema) -> FieldSet:
    """The fields a configuration sets: leaves, list items, map entries, and objects that are empty or null.

    Unlike `members_of` a struct field that has content is not in the set itself.
    """
    result: FieldSet = {}
    for name, item in value.items():
        declared = name in schema.properties
        node = _field_node(item, field_schema(schema, name), is_member=not declared)
        if node is not None:
            result["f:" + name] = node
    return result


def _field_node(value: Any, schema: Schema, *, is_member: bool) -> FieldSet | None:
    if value is None or value == {}:
        return LEAF
    if is_granular_map(value, schema):
        children = fields_of(value, schema)
    elif is_granular_list(value, schema):
        items = schema.items or UNTYPED
        children = {
            step: _field_node(item, items, is_member=True) or LEAF for step, item in index_items(value, schema).items()
        }
        if not children and not is_member:
            return None
    else:
        return LEAF
    if is_member and children:
        return {SELF: LEAF, **children}
    return children


def field_schema(schema: Schema, name: str) -> Schema:
    """Schema of a field or map entry."""
    return schema.properties.get(name) or schema.additional or UNTYPED


def is_granular_map(value: Any, schema: Schema) -> bool:
    """Whether paths go into this map."""
    is_entered = schema.map_type != "atomic" and schema.type in ("object", "") and not schema.opaque
    return is_entered and isinstance(value, dict)


def is_granular_list(value: Any, schema: Schema) -> bool:
    """Whether paths go into this list."""
    return isinstance(value, list) and schema.type == "array" and schema.list_type in ("map", "set")


def is_map_or_null(value: Any) -> bool:
    """Whether a value can be compared as a map."""
    return value is None or isinstance(value, dict)


def _is_list_or_null(value: Any) -> bool:
    return value is None or isinstance(value, list)


def index_items(items: list[Any], schema: Schema) -> dict[str, Any]:
    """Items of a list with keys or of a set by their step; of repeated ones the first."""
    result: dict[str, Any] = {}
    for item in items:
        result.setdefault(item_step(item, schema), item)
    return result


def item_step(item: Any, schema: Schema) -> str:
    """The step that identifies a list item: `k:` with its keys (defaults filled in) or `v:` with its value."""
    if schema.list_type == "set" or not isinstance(item, dict):
        return "v:" + orjson.dumps(item, option=orjson.OPT_SORT_KEYS).decode()
    return "k:" + orjson.dumps(item_keys(item, schema)).decode()


def item_keys(item: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """The keys of a list item, sorted by name; one that is left out has its default, or the zero of its type."""
    properties = schema.items.properties if schema.items else {}
    keys: dict[str, Any] = {}
    for name in sorted(schema.list_map_keys):
        declared = properties.get(name)
        if name in item:
            keys[name] = item[name]
        elif declared is not None and declared.has_default:
            keys[name] = declared.default
        elif declared is not None and declared.presence is Presence.ALWAYS:
            keys[name] = zero_value(declared)
    return keys
