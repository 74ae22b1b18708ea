"""Merging an applied configuration into an object, and taking fields out of one, by schema."""

from __future__ import annotations

from typing import Any

from control.api.objects import copy_object
from control.apiserver.patch.compare import (
    UNTYPED,
    field_schema,
    index_items,
    is_granular_list,
    is_granular_map,
    is_map_or_null,
    item_step,
)
from control.apiserver.patch.field_set import LEAF, SELF, FieldSet, below, has_member
from control.schema.structural import Schema


def merge_configuration(live: Any, configuration: Any, schema: Schema) -> Any:
    """Return the object with the configuration's fields set. Shares nothing with the arguments.

    Lists with keys and sets keep the live order, with items that the configuration names in its order.
    """
    return _merge(live, configuration, schema)


def _merge(left: Any, right: Any, schema: Schema) -> Any:
    if not left and not right:
        return copy_object(right)
    if is_granular_map(left or right, schema) and is_map_or_null(left) and is_map_or_null(right):
        return _merge_maps(left or {}, right or {}, schema)
    if is_granular_list(left or right, schema) and not isinstance(right, dict) and not isinstance(left, dict):
        return _merge_lists(left or [], right or [], schema)
    return copy_object(right)


def _merge_maps(left: dict[str, Any], right: dict[str, Any], schema: Schema) -> dict[str, Any]:
    result = {}
    for name, item in left.items():
        result[name] = _merge(item, right[name], field_schema(schema, name)) if name in right else copy_object(item)
    for name, item in right.items():
        if name not in left:
            result[name] = copy_object(item)
    return result


def _merge_lists(left: list[Any], right: list[Any], schema: Schema) -> list[Any]:
    """Walk both lists: items they share come in the right's order, others where they stood."""
    left_items, right_items = index_items(left, schema), index_items(right, schema)
    left_order, right_order = list(left_items), list(right_items)
    shared = [step for step in right_order if step in left_items]
    result: list[Any] = []
    items = schema.items or UNTYPED
    while left_order or right_order:
        if left_order and right_order:
            step = left_order[0]
            if step == right_order[0]:
                result.append(_merge(left_items[step], right_items[step], items))
                del left_order[0], right_order[0]
                shared = shared[1:]
                continue
            if step in right_items and shared and shared[0] != step:
                del left_order[0]  # shared, but its turn comes later
                continue
        if left_order and left_order[0] not in right_items:
            result.append(copy_object(left_items[left_order.pop(0)]))
            continue
        if not right_order:
            break
        step = right_order.pop(0)
        known = step in left_items
        result.append(_merge(left_items[step], right_items[step], items) if known else copy_object(right_items[step]))
        if shared and shared[0] == step:
            shared = shared[1:]
    return result


def remove_paths(value: Any, paths: FieldSet, schema: Schema) -> Any:
    """Return the value without the fields of a set; maps and lists that become empty vanish."""
    if not value or not paths:
        return value
    if is_granular_map(value, schema):
        return _remove_from_map(value, paths, schema)
    if is_granular_list(value, schema):
        return _remove_from_list(value, paths, schema)
    return value


def _remove_from_map(value: dict[str, Any], paths: FieldSet, schema: Schema) -> dict[str, Any]:
    result = {}
    for name, item in value.items():
        step = "f:" + name
        if step not in paths:
            result[name] = item
            continue
        if has_member(paths, step):
            continue
        kept = remove_paths(item, below(paths, step), field_schema(schema, name))
        if kept or not item:
            result[name] = kept
    return result


def _remove_from_list(value: list[Any], paths: FieldSet, schema: Schema) -> list[Any]:
    result = []
    for item in value:
        step = item_step(item, schema)
        if has_member(paths, step):
            continue
        result.append(remove_paths(item, below(paths, step), schema.items or UNTYPED) if step in paths else item)
    return result


def with_declared_fields(fields: FieldSet, schema: Schema) -> FieldSet:
    """The set with every declared field that leads to one of its paths: pruning removes structs that become empty."""
    result: FieldSet = {}
    for step, node in fields.items():
        if not node:
            result[step] = LEAF
            continue
        is_field = step.startswith("f:")
        child = field_schema(schema, step[2:]) if is_field else (schema.items or UNTYPED)
        children = with_declared_fields(below(fields, step), child)
        is_member = SELF in node or (is_field and step[2:] in schema.properties)
        result[step] = {SELF: LEAF, **children} if is_member else children
    return result
