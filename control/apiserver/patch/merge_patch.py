"""JSON Merge Patch (RFC 7386): objects merge, null removes, everything else replaces."""

from __future__ import annotations

from typing import Any, cast

from control.api.errors import bad_request
from control.api.objects import Object, copy_object


def apply_merge_patch(document: Object, patch: Any) -> Object:
    """Return the patched document; the arguments are not changed. Raises 400 unless the patch is an object."""
    if not isinstance(patch, dict):
        raise bad_request("Invalid JSON Patch")
    return cast(Object, _merge(copy_object(document), patch))


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return _without_nulls(patch)
    result: Object = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result


def _without_nulls(value: Any) -> Any:
    """Copy a value without the null members of its objects, inside lists too (as upstream's library does)."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
