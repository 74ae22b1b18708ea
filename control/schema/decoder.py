"""Compiled decoders: one closure per schema node, which copies, prunes and normalises a JSON value.

A decoder does what upstream's round trip through its typed records does: null is absent, unknown fields vanish (and
are noted), quantities and times come back canonical, empty values are dropped or written as each field's `presence`
says. It is the hot path of every write, so it only finds out *that* a value is wrong (`MismatchError`); the words
come from `decode_errors.py`, which walks the value again.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from control.api.quantity import canonical_quantity
from control.api.timestamps import format_micro_time, format_time, parse_time
from control.schema.structural import Presence, Schema

ZERO_TIME = "0001-01-01T00:00:00Z"
_INT_LIMITS = {"int32": 2**31, "int64": 2**63, "": 2**63}


class MismatchError(Exception):
    """A value does not fit its schema."""


class Findings:
    """What one decoding run noticed beside the value."""

    __slots__ = ("has_unknown_fields",)

    def __init__(self) -> None:
        self.has_unknown_fields = False


Decoder = Callable[[Any, Findings], Any]


def decoder_of(schema: Schema) -> Decoder:
    """Return the decoder of a schema node, compiled at first use; all uses of a built-in definition share one."""
    if schema.compiled_decoder is None:
        if schema.definition:
            found = _OF_DEFINITION.get(schema.definition)
            if found is None:
                found = _OF_DEFINITION[schema.definition] = _compile(schema)
            schema.compiled_decoder = found
        else:
            schema.compiled_decoder = _compile(schema)
    return schema.compiled_decoder  # type: ignore[no-any-return]


_OF_DEFINITION: dict[str, Decoder] = {}


def zero_value(schema: Schema) -> Any:
    """Return what upstream prints for a field that was never set and is always printed."""
    if schema.opaque or schema.type in ("array", "") or schema.additional is not None:
        return None
    match schema.type, schema.format:
        case "string", "quantity":
            return "0"
        case "string", "int-or-string":
            return 0
        case "string", "date-time" | "micro-time" | "byte":
            return None
        case "string", _:
            return ""
        case "integer" | "number", _:
            return 0
        case "boolean", _:
            return False
    return zero_object(schema)


def zero_object(schema: Schema) -> dict[str, Any]:
    """Return a record in which nothing was set: the fields that are printed all the same."""
    return {name: make() for name, make in _always_written(schema)}


def _always_written(schema: Schema) -> list[tuple[str, Callable[[], Any]]]:
    """Return the fields that are printed when they were not given, with what is printed. Found at first use."""
    if schema.always_written is None:
        found = schema.always_written = list[tuple[str, Callable[[], Any]]]()
        for name, field in schema.properties.items():
            if field.presence is Presence.ALWAYS:
                found.append((name, partial(zero_value, field)))
            elif field.presence is Presence.NULLABLE:
                found.append((name, _none))
    return schema.always_written  # type: ignore[no-any-return]


def _none() -> None:
    return None


def _compile(schema: Schema) -> Decoder:
    if schema.opaque:
        return _decode_opaque
    if schema.format in _FORMAT_DECODERS:
        return _FORMAT_DECODERS[schema.format]
    if schema.format.startswith("schema-or-"):
        return _compile_schema_union(schema)
    match schema.type:
        case "string":
            return _decode_string
        case "integer":
            return _compile_integer(_INT_LIMITS[schema.format])
        case "number":
            return _decode_number
        case "boolean":
            return _decode_boolean
        case "array":
            return _compile_list(schema)
        case "object" if schema.resolve_additional is not None:
            return _compile_map(schema)
        case "object" if schema.preserve_unknown_fields and not schema.properties:
            return _decode_opaque
        case "object":
            return _compile_record(schema)
    return _decode_opaque


def _decode_opaque(value: Any, findings: Findings) -> Any:
    return value


def _decode_string(value: Any, findings: Findings) -> Any:
    if type(value) is not str:
        raise MismatchError
    return value


def _decode_boolean(value: Any, findings: Findings) -> Any:
    if value is not True and value is not False:
        raise MismatchError
    return value


def _decode_number(value: Any, findings: Findings) -> Any:
    if type(value) is not float and type(value) is not int:
        raise MismatchError
    return value


def _compile_integer(limit: int) -> Decoder:
    def decode_integer(value: Any, findings: Findings) -> Any:
        if type(value) is not int or not -limit <= value < limit:
            raise MismatchError
        return value

    return decode_integer


def _decode_quantity(value: Any, findings: Findings) -> Any:
    if type(value) is str:
        text = value
    elif type(value) is int or type(value) is float:
        text = str(value)
    else:
        raise MismatchError
    try:
        return canonical_quantity(text.strip())
    except ValueError:
        raise MismatchError from None


def _decode_int_or_string(value: Any, findings: Findings) -> Any:
    if type(value) is str:
        return value
    if type(value) is not int or not -(2**31) <= value < 2**31:
        raise MismatchError
    return value


def _decode_time(value: Any, findings: Findings) -> Any:
    if type(value) is not str:
        raise MismatchError
    try:
        if len(value) == 20 and value[10] == "T" and value[19] == "Z":
            datetime.fromisoformat(value)
            return None if value == ZERO_TIME else value
        text = format_time(parse_time(value))
    except ValueError:
        raise MismatchError from None
    return None if text == ZERO_TIME else text


def _decode_micro_time(value: Any, findings: Findings) -> Any:
    if type(value) is not str:
        raise MismatchError
    try:
        text = format_micro_time(parse_time(value))
    except ValueError:
        raise MismatchError from None
    return None if text.startswith("0001-01-01T00:00:00.000000") else text


def _decode_bytes(value: Any, findings: Findings) -> Any:
    if type(value) is not str:
        raise MismatchError
    try:
        if "\n" in value or "\r" in value:
            value = value.replace("\n", "").replace("\r", "")
        binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        raise MismatchError from None
    return value


_FORMAT_DECODERS: Mapping[str, Decoder] = {
    "quantity": _decode_quantity,
    "int-or-string": _decode_int_or_string,
    "date-time": _decode_time,
    "micro-time": _decode_micro_time,
    "byte": _decode_bytes,
}


def _compile_list(schema: Schema) -> Decoder:
    item_schema = schema.items
    if item_schema is None:
        return _decode_opaque
    decode_item = _later(item_schema)
    null_item = None if item_schema.presence is Presence.VERBATIM else zero_value(item_schema)

    def decode_list(value: Any, findings: Findings) -> Any:
        if type(value) is not list:
            raise MismatchError
        return [null_item if item is None else decode_item(item, findings) for item in value]

    return decode_list


def _compile_map(schema: Schema) -> Decoder:
    value_schema = schema.additional
    if value_schema is None:
        return _decode_opaque
    decode_value = _later(value_schema)
    null_value = None if value_schema.presence is Presence.VERBATIM else zero_value(value_schema)

    def decode_map(value: Any, findings: Findings) -> Any:
        if type(value) is not dict:
            raise MismatchError
        return {key: null_value if item is None else decode_value(item, findings) for key, item in value.items()}

    return decode_map


def _later(schema: Schema) -> Decoder:
    """Compile at the first call, so that a kind costs only what its objects use and recursion ends."""
    compiled: Decoder | None = None

    def decode(value: Any, findings: Findings) -> Any:
        nonlocal compiled
        if compiled is None:
            compiled = decoder_of(schema)
        return compiled(value, findings)

    return decode


def _compile_record(schema: Schema) -> Decoder:
    fields: dict[str, tuple[Decoder, bool]] = {}
    properties = schema.properties
    always = _always_written(schema)
    preserve = schema.preserve_unknown_fields

    def field_of(name: str) -> tuple[Decoder, bool] | None:
        field = properties.get(name)
        if field is None:
            return None
        entry = fields[name] = _field_decoder(field)
        return entry

    def decode_record(value: Any, findings: Findings) -> Any:
        if type(value) is not dict:
            raise MismatchError
        result = {}
        for name, item in value.items():
            if item is None:
                if name not in properties:
                    findings.has_unknown_fields = True
                continue
            entry = fields.get(name) or field_of(name)
            if entry is None:
                if preserve:
                    result[name] = item
                else:
                    findings.has_unknown_fields = True
                continue
            decoded = entry[0](item, findings)
            if decoded or (entry[1] and decoded is not None):
                result[name] = decoded
        for name, make in always:
            if name not in result:
                result[name] = make()
        return result

    return decode_record


def _field_decoder(field: Schema) -> tuple[Decoder, bool]:
    """Return the decoder of a field and whether its empty value is kept."""
    decode = decoder_of(field)
    if field.presence is Presence.OMIT_ZERO:
        zero = zero_object(field)

        def decode_or_omit(value: Any, findings: Findings) -> Any:
            decoded = decode(value, findings)
            return None if decoded == zero else decoded

        return decode_or_omit, False
    return decode, field.presence is not Presence.OMIT_EMPTY


def _compile_schema_union(schema: Schema) -> Decoder:
    """Compile a JSON schema, or what else the field takes: a boolean, a list of schemas, a list of strings."""
    alternative = schema.format.removeprefix("schema-or-")
    item_schema = schema.items
    decode_schema = _later(item_schema) if item_schema else _decode_opaque

    def decode_union(value: Any, findings: Findings) -> Any:
        if type(value) is dict:
            # Upstream decodes these by hand-written code, which drops unknown fields without a word.
            return decode_schema(value, Findings())
        if alternative == "bool" and type(value) is bool:
            return value
        if alternative == "array" and type(value) is list:
            return [decode_schema(item, Findings()) for item in value]
        if alternative == "string-array" and type(value) is list and all(type(item) is str for item in value):
            return value
        raise MismatchError

    return decode_union
