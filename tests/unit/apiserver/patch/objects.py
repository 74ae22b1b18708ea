"""Random objects of built-in kinds, made of their real schemas, and the patches between two of them.

The differences are written here a second time, on purpose: by the definition of each patch format, so that the
engine is held to something it does not share code with.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from control.api.builtin_kinds import BUILTIN_KINDS
from control.api.kinds import Kind
from control.schema.builtin import definition_schema
from control.schema.structural import Schema

Object = dict[str, Any]

_DEPTH_MAX = 5
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.sampled_from(["x", "y", "z"]),
    "integer": st.integers(1, 3),
    "number": st.integers(1, 3),
    "boolean": st.just(True),
}
_FORMATS: dict[str, st.SearchStrategy[Any]] = {
    "quantity": st.sampled_from(["1", "2Gi"]),
    "int-or-string": st.sampled_from([1, "50%"]),
    "date-time": st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
    "micro-time": st.sampled_from(["2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.000000Z"]),
    "byte": st.sampled_from(["YQ==", "Yg=="]),
}

#: Kinds that are stored and have more than metadata.
KINDS = [kind for kind in BUILTIN_KINDS if "patch" in kind.verbs]


def schema_of(kind: Kind) -> Schema:
    return definition_schema(kind.definition)


@st.composite
def kinds_with_objects(draw: st.DrawFn, count: int) -> tuple[Kind, list[Object]]:
    """A kind and some objects of it, which share enough values to differ in few."""
    kind = draw(st.sampled_from(KINDS))
    return kind, [draw(objects(kind)) for _ in range(count)]


@st.composite
def objects(draw: st.DrawFn, kind: Kind) -> Object:
    schema = schema_of(kind)
    obj: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "x"}}
    for field in ("labels", "annotations"):
        if labels := draw(st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"), max_size=2)):
            obj["metadata"][field] = labels
    if finalizers := draw(st.lists(st.sampled_from("fg"), unique=True, max_size=2)):
        obj["metadata"]["finalizers"] = finalizers
    names = sorted(name for name in schema.properties if name not in obj and name != "status")
    for name in draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) if names else ():
        value = _value(draw, schema.properties[name], 0)
        if value not in (None, {}, []):
            obj[name] = value
    return obj


def _value(draw: st.DrawFn, schema: Schema, depth: int) -> Any:
    if schema.format in _FORMATS:
        return draw(_FORMATS[schema.format])
    if schema.opaque or schema.format or depth > _DEPTH_MAX:
        return draw(_SCALARS[schema.type]) if schema.type in _SCALARS and not schema.opaque else None
    if schema.type == "array":
        return _list(draw, schema, depth)
    if schema.type == "object":
        return _object(draw, schema, depth)
    return draw(_SCALARS[schema.type]) if schema.type in _SCALARS else None


def _list(draw: st.DrawFn, schema: Schema, depth: int) -> list[Any]:
    items = schema.items
    if items is None:
        return []
    found = [_value(draw, items, depth + 1) for _ in range(draw(st.integers(0, 3)))]
    found = [item for item in found if item not in (None, {}, [])]
    keys = (*schema.list_map_keys, *([schema.merge_key] if schema.merge_key else []))
    if not isinstance(found[0] if found else None, dict):
        return [item for index, item in enumerate(found) if item not in found[:index]]
    if not keys:
        return found
    # Both ways to merge need keys; two items that agree in any of them would be one item for one of the two.
    for index, item in enumerate(found):
        for key in keys:
            field = items.properties[key]
            item[key] = index + 1 if field.type == "integer" else f"{'abc'[index]}"
    count = draw(st.integers(0, len(found)))
    return found[count:] + found[:count]


def _object(draw: st.DrawFn, schema: Schema, depth: int) -> Object:
    if schema.additional is not None:
        names = draw(st.lists(st.sampled_from(["k", "l"]), unique=True, max_size=2))
        found = {name: _value(draw, schema.additional, depth + 1) for name in names}
    elif schema.properties:
        chosen = draw(st.lists(st.sampled_from(sorted(schema.properties)), unique=True, max_size=3))
        found = {name: _value(draw, schema.properties[name], depth + 1) for name in chosen}
    else:
        return {}
    return {name: value for name, value in found.items() if value not in (None, {}, [])}


# -- the patches from one object to another ----------------------------------------------------------------------


def merge_difference(old: Any, new: Any) -> Any:
    """The JSON merge patch (RFC 7386) that makes one object of another."""
    patch: Object = {name: None for name in old if name not in new}
    for name, value in new.items():
        if name in old and isinstance(value, dict) and isinstance(old[name], dict):
            if old[name] != value:
                patch[name] = merge_difference(old[name], value)
        elif name not in old or old[name] != value:
            patch[name] = value
    return patch


def json_patch_difference(old: Any, new: Any, path: str = "") -> list[Object]:
    """The JSON patch (RFC 6902), with a test of every value it changes."""
    steps: list[Object] = []
    for name in old:
        place = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
        if name not in new:
            steps += [{"op": "test", "path": place, "value": old[name]}, {"op": "remove", "path": place}]
        elif isinstance(old[name], dict) and isinstance(new[name], dict):
            steps += json_patch_difference(old[name], new[name], place)
        elif old[name] != new[name]:
            steps.append({"op": "replace", "path": place, "value": new[name]})
    for name in new:
        if name not in old:
            place = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            steps.append({"op": "add", "path": place, "value": new[name]})
    return steps


def strategic_difference(old: Object, new: Object, schema: Schema) -> Object:
    """The strategic merge patch, as kubectl would make it."""
    patch: Object = {name: None for name in old if name not in new}
    for name, value in new.items():
        field = schema.properties.get(name) or schema.additional or Schema()
        if name not in old or type(old[name]) is not type(value):
            patch[name] = value
        elif old[name] == value:
            continue
        elif isinstance(value, dict):
            patch[name] = value if "replace" in field.patch_strategies else _object_patch(old[name], value, field)
        elif isinstance(value, list) and "merge" in field.patch_strategies:
            patch |= _list_patch(name, old[name], value, field)
        else:
            patch[name] = value
    return patch


def _object_patch(old: Object, new: Object, schema: Schema) -> Object:
    patch = strategic_difference(old, new, schema)
    if "retainKeys" in schema.patch_strategies:
        patch = {name: value for name, value in patch.items() if value is not None}
        patch["$retainKeys"] = sorted(new)
    return patch


def _list_patch(name: str, old: list[Any], new: list[Any], schema: Schema) -> Object:
    key = schema.merge_key
    if not key:
        return {
            name: [item for item in new if item not in old],
            f"$deleteFromPrimitiveList/{name}": [item for item in old if item not in new],
            f"$setElementOrder/{name}": new,
        }
    items = schema.items or Schema()
    before = {item[key]: item for item in old}
    after = {item[key]: item for item in new}
    changed: list[Object] = []
    for value, item in after.items():
        if value not in before:
            changed.append(item)
        elif before[value] != item:
            difference = strategic_difference(before[value], item, items)
            if "retainKeys" in schema.patch_strategies:
                difference = {field: part for field, part in difference.items() if part is not None}
                difference["$retainKeys"] = sorted(item)
            changed.append({key: value, **difference})
    changed += [{"$patch": "delete", key: value} for value in before if value not in after]
    return {name: changed, f"$setElementOrder/{name}": [{key: value} for value in after]}
