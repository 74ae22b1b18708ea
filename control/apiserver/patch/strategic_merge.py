"""Strategic merge patch: lists merge by key where the schema says so, and directives say the rest.

    $patch: replace | delete | merge      in an object or a list item
    $retainKeys: [...]                    members of the object to keep
    $setElementOrder/<list>: [...]        order of a merged list
    $deleteFromPrimitiveList/<list>       values to take out of a merged list of scalars

Semantics, order of results and error texts are those of k8s.io/apimachinery/pkg/util/strategicpatch. Without
$setElementOrder a merged list has its own items in their order, and the patch's in the patch's order; the patch's
come first where the two orders leave a choice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any

from control.api.errors import ApiError, bad_request
from control.api.objects import Object
from control.apiserver.patch.go_format import format_go, name_go_type
from control.apiserver.patch.merge_patch import without_nulls
from control.schema.structural import Schema

_PATCH = "$patch"
_RETAIN_KEYS = "$retainKeys"
_DELETE_FROM_LIST = "$deleteFromPrimitiveList"
_SET_ORDER = "$setElementOrder"

_ANYTHING = Schema()


def apply_strategic_merge_patch(document: Object, patch: Any, schema: Schema) -> Object:
    """Patch a document. Both are the caller's own and are used up. Raises ApiError with upstream's status and text."""
    if patch is None:
        return document
    if not isinstance(patch, dict):
        raise bad_request("invalid JSON document")
    return _merge_objects(document, patch, schema)


def _merge_objects(original: Object, patch: Object, schema: Schema) -> Object:
    """Merge a patch into an object. Both are used up."""
    if _PATCH in patch:
        return _apply_object_directive(patch)
    _retain_keys(original, patch)
    _merge_ordered_lists(original, patch, schema)
    for name, value in patch.items():
        is_deletion = name.startswith(_DELETE_FROM_LIST)
        key = _directive_target(name, _DELETE_FROM_LIST, "primitive list") if is_deletion else name
        if value is None:
            original.pop(key, None)
        elif key in original and type(original[key]) is type(value) and isinstance(value, dict | list):
            original[key] = _merge_values(original[key], value, _field_schema(schema, key), is_deletion=is_deletion)
        elif not is_deletion:
            _set_or_drop(original, key, value)
    return original


def _merge_values(original: Any, patch: Any, schema: Schema, *, is_deletion: bool) -> Any:
    if isinstance(patch, dict):
        return patch if "replace" in schema.patch_strategies else _merge_objects(original, patch, schema)
    if is_deletion or "merge" in schema.patch_strategies:
        return _merge_lists(original, patch, schema, is_deletion=is_deletion)
    return patch


def _apply_object_directive(patch: Object) -> Object:
    directive = patch.pop(_PATCH)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    raise _internal(f"unknown patch type: {format_go(directive)} in map: {format_go({**patch, _PATCH: directive})}")


def _retain_keys(original: Object, patch: Object) -> None:
    if _RETAIN_KEYS not in patch:
        return
    kept = patch.pop(_RETAIN_KEYS)
    if not isinstance(kept, list):
        raise bad_request("invalid patch format of retainKeys")
    for name, value in patch.items():
        if value is None or name.startswith((_DELETE_FROM_LIST, _SET_ORDER)):
            continue
        if name not in kept:
            raise bad_request("invalid patch format of retainKeys")
    for name in [name for name in original if name not in kept]:
        del original[name]


def _set_or_drop(original: Object, key: str, value: Any) -> None:
    cleaned, is_kept = _without_directives(without_nulls(value))
    if is_kept:
        original[key] = cleaned
    else:
        original.pop(key, None)


# -- lists -------------------------------------------------------------------------------------------------------


def _merge_ordered_lists(original: Object, patch: Object, schema: Schema) -> None:
    """Carry out $setElementOrder directives together with the list each is about, and take both out of the patch."""
    for name in [name for name in patch if name.startswith(_SET_ORDER)]:
        order = patch.pop(name)
        if not isinstance(order, list):
            raise _wrong_type([], order)
        key = _directive_target(name, _SET_ORDER, "setElementOrder list")
        present = _list_or_error(original, key)
        patched = _list_or_error(patch, key)
        field = _field_schema(schema, key, is_required=True)
        if patched is not None:
            _check_order(patched, order, field.merge_key)
        if present is None and patched is None:
            continue
        merged = present if patched is None else patched
        if present is not None and patched is not None:
            merged = _merge_values(list(present), patched, field, is_deletion=False)
        assert merged is not None
        original[key] = _order_items(merged, order, present or [], field.merge_key)
        patch.pop(key, None)


def _check_order(patched: list[Any], order: list[Any], merge_key: str) -> None:
    """The patch's items must occur in the $setElementOrder list, in the same order."""
    if not order or not patched:
        return
    wanted = [item for item in patched if not (merge_key and _is_deletion(item))]
    position = 0
    for item in wanted:
        if isinstance(item, dict) and _PATCH in item:
            continue
        while position < len(order) and _identity(order[position], merge_key) != _identity(item, merge_key):
            position += 1
        if position >= len(order):
            raise _internal(
                f"The order in patch list:\n{format_go(patched)}\n doesn't match {_SET_ORDER} list:\n"
                f"{format_go(order)}\n"
            )
        position += 1


def _merge_lists(original: list[Any], patch: list[Any], schema: Schema, *, is_deletion: bool) -> list[Any]:
    if not original and not patch:
        return original
    if not isinstance((original or patch)[0], dict):
        _check_element_types(original + patch)
        if is_deletion:
            removed = set(map(_hashable, patch))
            return [item for item in original if _hashable(item) not in removed]
        return _order_items(_deduplicated(original + patch), patch, original, "")
    _check_element_types(original + patch)
    if not schema.merge_key:
        raise _internal(f"cannot merge lists without merge key for {schema.definition}")
    present, additions = _apply_item_directives(original, patch, schema.merge_key)
    merged = list(present)
    positions = _first_positions([item.get(schema.merge_key) for item in merged])
    for item in additions:
        position = positions.setdefault(_hashable(_identity(item, schema.merge_key)), len(merged))
        if position < len(merged):
            merged[position] = _merge_objects(merged[position], item, schema.items or _ANYTHING)
        else:
            merged.append(_without_directives(without_nulls({**item, _RETAIN_KEYS: None}))[0])
    return _order_items(merged, additions, present, schema.merge_key)


def _apply_item_directives(original: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Delete and replace as items with $patch say; returns what is left of the list, and the items to merge in."""
    additions: list[Any] = []
    deleted: set[Hashable] = set()
    is_replaced = False
    for item in patch:
        directive = item.get(_PATCH)
        if _PATCH not in item:
            additions.append(item)
        elif directive == "delete":
            deleted.add(_hashable(_identity(item, merge_key)))
        elif directive == "replace":
            is_replaced = True
        elif directive == "merge":
            raise _internal("merging lists cannot yet be specified in the patch")
        else:
            raise _internal(f"unknown patch type: {format_go(directive)} in map: {format_go(item)}")
    if is_replaced:
        return additions, []
    return [item for item in original if _hashable(item.get(merge_key)) not in deleted], additions


def _order_items(merged: list[Any], order: list[Any], present: list[Any], merge_key: str) -> list[Any]:
    """Put the items named by `order` in that order, and the others, in the order they had, between them."""
    wanted = _first_positions([_identity(item, merge_key) for item in order])
    known = _first_positions([_identity(item, merge_key) for item in present])
    unknown = len(present)
    # Each with where it is wanted and where it was; behind all that was if it is new.
    first: list[tuple[int, int, Any]] = []
    others: list[tuple[int, Any]] = []
    for item in merged:
        identity = _hashable(_identity(item, merge_key))
        was = known.get(identity, unknown)
        if identity in wanted:
            first.append((wanted[identity], was, item))
        else:
            others.append((was, item))
    first.sort(key=lambda entry: entry[0])
    waiting = deque(sorted(others, key=lambda entry: entry[0]))
    result: list[Any] = []
    for _, was, item in first:
        while waiting and waiting[0][0] < was < unknown:
            result.append(waiting.popleft()[1])
        result.append(item)
    return result + [item for _, item in waiting]


def _first_positions(identities: list[Any]) -> dict[Hashable, int]:
    positions: dict[Hashable, int] = {}
    for position, identity in enumerate(identities):
        positions.setdefault(_hashable(identity), position)
    return positions


def _hashable(identity: Any) -> Hashable:
    """What stands for an identity in sets: itself, unless a client made a map or list the value of a merge key."""
    return format_go(identity) if isinstance(identity, dict | list) else identity


def _identity(item: Any, merge_key: str) -> Any:
    if not merge_key:
        return item
    if not isinstance(item, dict):
        raise _wrong_type({}, item)
    if merge_key not in item:
        raise _internal(f"map: {format_go(item)} does not contain declared merge key: {merge_key}")
    return item[merge_key]


def _is_deletion(item: Any) -> bool:
    return isinstance(item, dict) and item.get(_PATCH) == "delete"


def _check_element_types(items: list[Any]) -> None:
    expected = items[0]
    for item in items:
        if isinstance(item, list):
            raise ApiError(422, "Invalid", "the server rejected our request due to an error in our request", details={})
        if name_go_type(item) != name_go_type(expected):
            raise _internal(f"list element types are not identical: {name_go_type(expected)} and {name_go_type(item)}")


def _deduplicated(items: list[Any]) -> list[Any]:
    return list(dict.fromkeys(items))  # scalars all


def _list_or_error(holder: Object, key: str) -> list[Any] | None:
    value = holder.get(key)
    if key in holder and not isinstance(value, list):
        raise _wrong_type([], value)
    return value


# -- schema, directives, errors ------------------------------------------------------------------------------------


def _field_schema(schema: Schema, key: str, *, is_required: bool = False) -> Schema:
    field = schema.properties.get(key) or schema.additional
    if field is not None:
        return field
    if is_required and schema.properties:
        name = schema.definition.rsplit(".", 1)[-1]
        raise _internal(f'unable to find api field in struct {name} for the json field "{key}"')
    return _ANYTHING


def _directive_target(name: str, prefix: str, what: str) -> str:
    directive, slash, target = name.partition("/")
    if directive != prefix or not slash:
        raise bad_request(f"invalid patch format of {what}")
    return target


def _without_directives(value: Any) -> tuple[Any, bool]:
    """Take directives out of a value that is set as a whole; the second result is False for a directive itself."""
    if isinstance(value, dict):
        if _PATCH in value:
            return None, False
        members = {key: _without_directives(item) for key, item in value.items()}
        return {key: item for key, (item, is_kept) in members.items() if is_kept}, True
    if isinstance(value, list):
        return [item for item, is_kept in map(_without_directives, value) if is_kept], True
    return value, True


def _internal(message: str) -> ApiError:
    """Upstream answers these with a bare 500."""
    return ApiError(500, "", message)


def _wrong_type(expected: Any, given: Any) -> ApiError:
    return _internal(f"expected a {name_go_type(expected)}, but received a {name_go_type(given)}")
