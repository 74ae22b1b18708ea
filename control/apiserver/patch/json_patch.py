"""JSON Patch (RFC 6902) as kube-apiserver applies it.

The library it uses (evanphx/json-patch v4) deviates from the RFC where clients may rely on it: `replace` of a missing
member of an object adds it, negative indices count from the end, and the whole document cannot be a target. Every
patch that does not apply is answered 422 without saying why.
"""

from __future__ import annotations

from typing import Any, cast

from control.api.errors import ApiError, bad_request
from control.api.objects import Object, copy_object

OPERATIONS_MAX = 10_000
#: What `copy` operations of one patch may add up to, in bytes of JSON (upstream: the largest request body).
COPIED_BYTES_MAX = 3 * 1024 * 1024


class _DoesNotApplyError(Exception):
    pass


def apply_json_patch(document: Object, operations: Any) -> Object:
    """Return the patched document; the arguments are not changed. Raises 400, 413 or 422 in upstream's words."""
    steps = _check_operations(operations)
    result = copy_object(document)
    copied_bytes = 0
    try:
        for step in steps:
            copied_bytes += _apply_step(result, step)
            if copied_bytes > COPIED_BYTES_MAX:
                raise _DoesNotApplyError
    except _DoesNotApplyError:
        raise not_applicable() from None
    return cast(Object, result)


def not_applicable() -> ApiError:
    """422 of a patch that cannot be applied to this object."""
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", details={})


def _check_operations(operations: Any) -> list[Object]:
    if operations is None:
        return []
    if not isinstance(operations, list):
        raise bad_request(f"json: cannot unmarshal {_go_type(operations)} into Go value of type jsonpatch.Patch")
    if len(operations) > OPERATIONS_MAX:
        raise ApiError(
            413,
            "RequestEntityTooLarge",
            "Request entity is too large: The allowed maximum operations in a JSON patch is "
            f"{OPERATIONS_MAX}, got {len(operations)}",
        )
    for operation in operations:
        if not isinstance(operation, dict):
            raise bad_request(f"json: cannot unmarshal {_go_type(operation)} into Go value of type jsonpatch.Operation")
    return operations


def _apply_step(document: Object, step: Object) -> int:
    """Apply one operation in place; returns the size of what it copied."""
    kind = step.get("op")
    if kind not in ("add", "remove", "replace", "move", "copy", "test"):
        raise _DoesNotApplyError
    path = _text(step, "path")
    if kind in ("move", "copy"):
        source = _text(step, "from")
        value = _get(document, source)
        if kind == "move":
            _remove(document, source)
        else:
            value = copy_object(value)
        _add(document, path, value)
        return _encoded_size(value) if kind == "copy" else 0
    if kind == "add":
        _add(document, path, copy_object(step.get("value")))
    elif kind == "remove":
        _remove(document, path)
    elif kind == "replace":
        _replace(document, path, copy_object(step.get("value")))
    elif not _is_equal(_get(document, path), step.get("value")):
        raise _DoesNotApplyError
    return 0


def _text(step: Object, field: str) -> str:
    value = step.get(field)
    if not isinstance(value, str):
        raise _DoesNotApplyError
    return value


def _find_container(document: Any, pointer: str) -> tuple[Any, str]:
    parts = pointer.split("/")
    if len(parts) < 2:
        raise _DoesNotApplyError
    container = document
    for part in parts[1:-1]:
        container = _member(container, _unescape(part))
        if not isinstance(container, dict | list):
            raise _DoesNotApplyError
    return container, _unescape(parts[-1])


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _member(container: Any, key: str) -> Any:
    if isinstance(container, dict):
        return container.get(key)
    return container[_index(key, len(container))]


def _index(key: str, length: int) -> int:
    try:
        index = int(key) if key.isascii() and key == key.strip() and "_" not in key else None
    except ValueError:
        index = None
    if index is None or not -length <= index < length:
        raise _DoesNotApplyError
    return index % length


def _get(document: Any, pointer: str) -> Any:
    container, key = _find_container(document, pointer)
    return _member(container, key)


def _add(document: Any, pointer: str, value: Any) -> None:
    container, key = _find_container(document, pointer)
    if isinstance(container, dict):
        container[key] = value
    elif key == "-":
        container.append(value)
    else:
        container.insert(_index(key, len(container) + 1), value)


def _remove(document: Any, pointer: str) -> None:
    container, key = _find_container(document, pointer)
    if isinstance(container, dict):
        if key not in container:
            raise _DoesNotApplyError
        del container[key]
    else:
        del container[_index(key, len(container))]


def _replace(document: Any, pointer: str, value: Any) -> None:
    container, key = _find_container(document, pointer)
    if isinstance(container, dict):
        container[key] = value
    else:
        container[_index(key, len(container))] = value


def _is_equal(left: Any, right: Any) -> bool:
    """JSON equality; Python alone takes true for 1 and 1 for 1.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_is_equal(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_is_equal, left, right))
    return bool(left == right)


def _encoded_size(value: Any) -> int:
    if isinstance(value, dict):
        return 2 + sum(len(key) + 4 + _encoded_size(item) for key, item in value.items())
    if isinstance(value, list):
        return 2 + sum(1 + _encoded_size(item) for item in value)
    return len(value.encode()) + 2 if isinstance(value, str) else 4


def _go_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict | list):
        return "object" if isinstance(value, dict) else "array"
    return "number"
