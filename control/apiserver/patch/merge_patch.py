"""JSON Merge Patch (RFC 7386): objects merge, null removes, everything else replaces."""

from __future__ import annotations

from typing import Any

from control.api.errors import bad_request
from control.api.objects import Object, copy_object

INVALID_MERGE_PATCH = "Invalid JSON Patch"


def apply_merge_patch(document: Object, patch: Any) -> Any:
    """Return the patched document; the arguments are not changed. Raises 400 unless the patch is an object or a list.

    As with upstream's library a list takes the document's place; that no kind is a list is found out later.
    """
    if isinstance(patch, list):
        return without_nulls(patch)
    if not isinstance(patch, dict):
        raise bad_request(INVALID_MERGE_PATCH)
    return _merge(copy_object(document), patch)


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return without_nulls(patch)
    result: Object = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result


def without_nulls(value: Any) -> Any:
    """Copy a value without the null members of its objects, inside lists too (as upstream's library does)."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
