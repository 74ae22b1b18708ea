"""What upstream's converter says of a plain value that does not fit a record.

The result of a strategic merge patch never becomes text: upstream converts it with reflection
(k8s.io/apimachinery/pkg/runtime/converter.go), which has other words for a wrong type than its JSON decoder, stops at
the first, and reads fields in the order of their declaration. Values of types with a decoder of their own (quantities,
times, IntOrString) are refused in the words of those.

As with `decode_errors.py`, only a value that the compiled decoder refuses is looked at: it refuses whatever the
converter does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from control.schema.decode_errors import explain, go_type_name
from control.schema.go_fields import field_facts
from control.schema.go_values import base64_problem
from control.schema.structural import Schema

_OWN_DECODERS = frozenset({"quantity", "int-or-string", "date-time", "micro-time"})
_KINDS = {dict: "map", list: "slice", str: "string", bool: "bool", int: "int64", float: "float64"}
_SCALAR_KINDS = {"string": "string", "boolean": "bool", "number": "float64"}


def conversion_problem(value: Any, schema: Schema) -> str:
    """Word the first value of a wrong type; empty if all fit."""
    if value is None or schema.opaque:
        return ""
    if schema.format in _OWN_DECODERS or schema.format.startswith("schema-or-"):
        return explain(value, schema).error
    if schema.format == "byte":
        return base64_problem(value) if isinstance(value, str) else _list_problem(value, schema)
    if schema.type == "array":
        return _list_problem(value, schema)
    if schema.type == "object":
        return _object_problem(value, schema)
    return _scalar_problem(value, schema)


def _list_problem(value: Any, schema: Schema) -> str:
    if not isinstance(value, list):
        return f"cannot restore slice from {_kind(value)}"
    items = schema.items
    return _first(conversion_problem(item, items) for item in value) if items is not None else ""


def _object_problem(value: Any, schema: Schema) -> str:
    additional = schema.additional
    if additional is not None:
        if not isinstance(value, dict):
            return f"cannot restore map from {_kind(value)}"
        return _first(conversion_problem(value[name], additional) for name in sorted(value))
    if not schema.properties:
        return ""
    if not isinstance(value, dict):
        return f"cannot restore struct from: {_kind(value)}"
    declared = [*field_facts(schema.definition), *schema.properties]
    return _first(
        conversion_problem(value[name], schema.properties[name])
        for name in dict.fromkeys(declared)
        if name in value and name in schema.properties
    )


def _scalar_problem(value: Any, schema: Schema) -> str:
    kind = _SCALAR_KINDS.get(schema.type) or (schema.format or "int64" if schema.type == "integer" else "")
    if not kind or _fits(value, kind):
        return ""
    # Go turns an integer into a string and a fraction into an integer; the converter knows of both and refuses.
    if _kind(value) == "int64" and kind == "string":
        return f"cannot convert int64 to {go_type_name(schema)}"
    if _kind(value) == "float64" and kind.startswith("int"):
        return f"cannot convert float64 to {go_type_name(schema)}"
    return f"unrecognized type: {kind}"


def _fits(value: Any, kind: str) -> bool:
    found = _kind(value)
    if kind in ("string", "bool"):
        return found == kind
    return found == "int64" or (found == "float64" and (kind == "float64" or value.is_integer()))


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "interface")


def _first(problems: Iterable[str]) -> str:
    return next((problem for problem in problems if problem), "")
