"""Checks of an applied configuration against its schema, in the words of structured-merge-diff.

Server-side apply judges a configuration before it is decoded: a field the schema does not know is an error whatever
fieldValidation says.
"""

from __future__ import annotations

from typing import Any

from control.apiserver.patch.compare import UNTYPED, item_keys, item_step
from control.apiserver.patch.field_set import format_step
from control.apiserver.patch.go_format import format_go, name_go_type
from control.schema.structural import Schema


def configuration_errors(configuration: Any, schema: Schema) -> list[str]:
    """Every error, each with its path."""
    errors: list[str] = []
    _check(configuration, schema, "", errors)
    return errors


def join_errors(errors: list[str]) -> str:
    """One text for all errors."""
    return errors[0] if len(errors) == 1 else "\n".join(["errors:", *(f"  {error}" for error in errors)])


def _check(value: Any, schema: Schema, path: str, errors: list[str]) -> None:
    if value is None or schema.opaque or not schema.type:
        return
    if schema.type == "object":
        _check_map(value, schema, path, errors)
    elif schema.type == "array":
        _check_list(value, schema, path, errors)
    else:
        message = _scalar_error(value, schema)
        if message:
            errors.append(_at(path, message))


def _check_map(value: Any, schema: Schema, path: str, errors: list[str]) -> None:
    if not isinstance(value, dict):
        errors.append(_at(path, f"expected map, got &{{{format_go(value)}}}"))
        return
    is_open = bool(schema.additional) or schema.preserve_unknown_fields or not schema.properties
    for name, item in value.items():
        child = schema.properties.get(name) or schema.additional
        if child is None and not is_open:
            errors.append(_at(f"{path}.{name}", "field not declared in schema"))
            return
        _check(item, child or UNTYPED, f"{path}.{name}", errors)


def _check_list(value: Any, schema: Schema, path: str, errors: list[str]) -> None:
    if not isinstance(value, list):
        errors.append(_at(path, f"expected list, got &{{{format_go(value)}}}"))
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        step = f"[{index}]"
        if schema.list_type in ("map", "set"):
            message = _item_error(item, schema)
            if message:
                errors.append(_at(path, f"element {index}: {message}"))
                return
            step = _item_path(item, schema)
            if step in seen:
                errors.append(_at(path, f"duplicate entries for key {step}"))
            seen.add(step)
        _check(item, schema.items or UNTYPED, path + step, errors)


def _item_path(item: Any, schema: Schema) -> str:
    return format_step(item_step(item, schema))


def _item_error(item: Any, schema: Schema) -> str:
    if schema.list_type == "set":
        if isinstance(item, dict) and (schema.items or UNTYPED).map_type != "atomic":
            return "associative list without keys has an element that's a map type"
        if isinstance(item, list):
            return "not supported: associative list with lists as elements"
        return "" if item is not None else "associative list without keys has an element that's an explicit null"
    if item is None:
        return "associative list with keys may not have a null element"
    if not isinstance(item, dict):
        return "associative list with keys may not have non-map elements"
    if not item_keys(item, schema):
        keys = " ".join(f'"{key}"' for key in schema.list_map_keys)
        return (
            f"associative list with keys has an element that omits all key fields [{keys}] "
            "(and doesn't have default values for any key fields)"
        )
    return ""


def _scalar_error(value: Any, schema: Schema) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if schema.format in ("quantity", "int-or-string", "date-time", "micro-time"):
        is_scalar = not isinstance(value, dict | list)
        return "" if is_scalar else f"expected any scalar, got &{{{format_go(value)}}}"
    if schema.type in ("integer", "number"):
        return "" if is_number else f"expected numeric (int or float), got {name_go_type(value)}"
    if schema.type == "boolean":
        return "" if isinstance(value, bool) else f"expected boolean, got &{{{format_go(value)}}}"
    if isinstance(value, str):
        return ""
    return f"expected string, got &value.valueUnstructured{{Value:{format_go(value)}}}"


def _at(path: str, message: str) -> str:
    return f"{path}: {message}" if path else message
