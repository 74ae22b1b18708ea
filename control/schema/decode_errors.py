"""The words of a decoding failure: what upstream's JSON decoder says of a value that does not fit.

Walked only when the compiled decoder found something wrong, so clarity wins over speed. The decoder of upstream
remembers the first wrong type and reads on; hand-written decoders (quantities, times, ...) stop it at once. Clients
match on these texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from control.api.quantity import parse_quantity
from control.api.timestamps import parse_time
from control.schema.go_values import base64_problem, time_problem
from control.schema.structural import Schema

STRICT_ERRORS_MAX = 100
_RANGES = {"int32": 2**31, "int64": 2**63, "": 2**63}
_GO_SCALARS = {"string": "string", "boolean": "bool", "number": "float64"}


class Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written: its members in order, duplicates included."""


class WrittenFloat(float):
    """A number with a fraction or exponent, that still knows how it was written."""

    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        """Parse the text, and keep it."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


class DecodeError(ValueError):
    """A value that does not fit its schema, in upstream's words."""


def json_type_name(value: Any) -> str:
    """Name the JSON type of a value as upstream's decoder does."""
    if isinstance(value, Pairs | dict):
        return "object"
    if isinstance(value, list):
        return "array"
    if isinstance(value, bool):
        return "bool"
    return "string" if isinstance(value, str) else "number"


def go_type_name(schema: Schema) -> str:
    """Name the type a field has upstream, e.g. `[]v1.Container` or `map[string]string`."""
    if schema.go_type:
        return schema.go_type
    if schema.format == "byte":
        return "[]uint8"
    if schema.type == "integer":
        return schema.format or "int64"
    if schema.type == "array" and schema.items is not None:
        return "[]" + go_type_name(schema.items)
    if schema.additional is not None:
        return "map[string]" + go_type_name(schema.additional)
    if schema.definition:
        version, _, name = schema.definition.rpartition(".")
        return f"{version.rpartition('.')[2]}.{name}"
    return _GO_SCALARS.get(schema.type, "interface {}")


@dataclass(slots=True)
class _Walk:
    """State of one walk: `fields` and `record` name the place in Go's words, `path` in those of strict errors."""

    fields: list[str] = field(default_factory=list)
    record: str = ""
    first_mismatch: str = ""
    strict_errors: list[str] = field(default_factory=list)

    def mismatch(self, found: str, go_type: str) -> None:
        if not self.first_mismatch:
            self.first_mismatch = self.mismatch_text(found, go_type)

    def mismatch_text(self, found: str, go_type: str) -> str:
        if not self.fields:
            return f"json: cannot unmarshal {found} into Go value of type {go_type}"
        place = f"{self.record}.{'.'.join(self.fields)}"
        return f"json: cannot unmarshal {found} into Go struct field {place} of type {go_type}"

    def strict(self, problem: str, path: str) -> None:
        text = f'{problem} field "{path}"'
        if text not in self.strict_errors and len(self.strict_errors) < STRICT_ERRORS_MAX:
            self.strict_errors.append(text)


@dataclass(frozen=True, slots=True)
class Explanation:
    """`error` is empty if every value fits; `strict_errors` are unknown and duplicate fields in order of the text."""

    error: str
    strict_errors: tuple[str, ...]


def explain(value: Any, schema: Schema) -> Explanation:
    """Walk a value (objects may be `Pairs`) and word what is wrong with it."""
    walk = _Walk()
    try:
        _walk_value(value, schema, walk, "")
    except DecodeError as error:
        return Explanation(str(error), tuple(walk.strict_errors))
    return Explanation(walk.first_mismatch, tuple(walk.strict_errors))


def _members(value: Any) -> Iterable[tuple[str, Any]]:
    return value if isinstance(value, Pairs) else value.items()


def _walk_value(value: Any, schema: Schema, walk: _Walk, path: str) -> None:
    if value is None or schema.opaque:
        return
    if schema.format in _FORMAT_CHECKS:
        _FORMAT_CHECKS[schema.format](value, schema, walk)
    elif schema.format.startswith("schema-or-"):
        _check_schema_union(value, schema, walk)
    elif schema.type == "array":
        _walk_list(value, schema, walk, path)
    elif schema.type == "object":
        _walk_object(value, schema, walk, path)
    else:
        _check_scalar(value, schema, walk)


def _check_scalar(value: Any, schema: Schema, walk: _Walk) -> None:
    found = json_type_name(value)
    if schema.type == "integer":
        if found != "number":
            walk.mismatch(found, go_type_name(schema))
        elif isinstance(value, float) or not -_RANGES[schema.format] <= value < _RANGES[schema.format]:
            walk.mismatch(f"number {value}", go_type_name(schema))
    elif schema.type in ("string", "boolean", "number") and found != {"boolean": "bool"}.get(schema.type, schema.type):
        walk.mismatch(found, go_type_name(schema))


def _walk_list(value: Any, schema: Schema, walk: _Walk, path: str) -> None:
    if isinstance(value, Pairs) or not isinstance(value, list):
        walk.mismatch(json_type_name(value), go_type_name(schema))
        return
    if schema.items is not None:
        for index, item in enumerate(value):
            _walk_value(item, schema.items, walk, f"{path}[{index}]")


def _walk_object(value: Any, schema: Schema, walk: _Walk, path: str) -> None:
    if not isinstance(value, Pairs | dict):
        walk.mismatch(json_type_name(value), go_type_name(schema))
        return
    prefix = f"{path}." if path else ""
    seen: set[str] = set()
    for name, item in _members(value):
        if schema.additional is not None:
            child: Schema | None = schema.additional
        else:
            child = schema.properties.get(name)
        if child is None:
            if not schema.preserve_unknown_fields:
                walk.strict("unknown", prefix + name)
            continue
        if name in seen:
            walk.strict("duplicate", prefix + name)
        seen.add(name)
        if schema.additional is not None:
            _walk_value(item, child, walk, prefix + name)
        else:
            _walk_field(name, item, schema, child, walk, prefix + name)


def _walk_field(name: str, item: Any, parent: Schema, child: Schema, walk: _Walk, path: str) -> None:
    outer = walk.record
    walk.record = parent.definition.rpartition(".")[2]
    walk.fields.append(name)
    _walk_value(item, child, walk, path)
    walk.fields.pop()
    walk.record = outer


def _check_quantity(value: Any, schema: Schema, walk: _Walk) -> None:
    text = value if isinstance(value, str) else _json_text(value)
    try:
        parse_quantity(text.strip())
    except ValueError as error:
        raise DecodeError(str(error)) from None


def _check_int_or_string(value: Any, schema: Schema, walk: _Walk) -> None:
    if isinstance(value, str):
        return
    found = json_type_name(value)
    if found == "number":
        if isinstance(value, int) and -(2**31) <= value < 2**31:
            return
        found = f"number {value}"
    raise DecodeError(walk.mismatch_text(found, "int32"))


def _check_time(value: Any, schema: Schema, walk: _Walk) -> None:
    if not isinstance(value, str):
        raise DecodeError(walk.mismatch_text(json_type_name(value), "string"))
    try:
        if len(value) == 20 and value[10] == "T" and value[19] == "Z":
            datetime.fromisoformat(value)
        else:
            parse_time(value)
    except ValueError:
        raise DecodeError(time_problem(value, micro=schema.format == "micro-time")) from None


def _check_bytes(value: Any, schema: Schema, walk: _Walk) -> None:
    if not isinstance(value, str):
        walk.mismatch(json_type_name(value), go_type_name(schema))
    elif not walk.first_mismatch:
        walk.first_mismatch = base64_problem(value)


_FORMAT_CHECKS = {
    "quantity": _check_quantity,
    "int-or-string": _check_int_or_string,
    "date-time": _check_time,
    "micro-time": _check_time,
    "byte": _check_bytes,
}


def _check_schema_union(value: Any, schema: Schema, walk: _Walk) -> None:
    alternative = schema.format.removeprefix("schema-or-")
    if alternative == "bool":
        if not isinstance(value, bool | dict | Pairs):
            raise DecodeError("boolean or JSON schema expected")
    elif not isinstance(value, list | dict):
        # Upstream leaves such a value unset.
        return
    for part in _schema_parts(value):
        if schema.items is not None:
            # Hand-written decoders start afresh inside, and drop unknown fields without a word.
            inner = explain(part, schema.items)
            if inner.error:
                raise DecodeError(inner.error)


def _schema_parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | Pairs):
        yield value
    elif isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict | Pairs))


def _json_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
