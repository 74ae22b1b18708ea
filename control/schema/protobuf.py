"""Decoding of `application/vnd.kubernetes.protobuf` request bodies into JSON objects.

kubectl sends what it makes itself (`create deployment`, ...) and typed Go clients send built-in kinds this way. The
message types are those of the schemas, with field numbers from `go_fields`; the result then passes through the same
decoder as JSON, which drops the empty values that protobuf always sends.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import orjson

from control.api.builtin_kinds import BUILTIN_KINDS
from control.api.objects import Object
from control.api.protobuf_wire import INT_WRAP, Raw, read_fields, read_varint
from control.api.timestamps import format_micro_time, format_time
from control.schema.builtin import JSON_SCHEMA_PROPS, definition_schema
from control.schema.go_fields import embedded_messages, field_facts
from control.schema.structural import Schema

MAGIC = b"k8s\x00"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_INT_SIGN = 1 << 63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Kinds that are sent but not stored.
_OTHER_KINDS = {
    ("v1", "Status"): _META + "Status",
    ("policy/v1", "Eviction"): "io.k8s.api.policy.v1.Eviction",
    ("autoscaling/v1", "Scale"): "io.k8s.api.autoscaling.v1.Scale",
    ("authentication.k8s.io/v1", "TokenRequest"): "io.k8s.api.authentication.v1.TokenRequest",
}

Reader = Callable[[Raw], Any]


class ProtobufError(ValueError):
    """A body that is no protobuf message of a known kind."""


def decode_protobuf(body: bytes) -> Object:
    """Decode an enveloped object. Raises ProtobufError."""
    if not body.startswith(MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        return _decode_envelope(body[len(MAGIC) :])
    except (IndexError, struct.error, OverflowError, UnicodeDecodeError, TypeError, orjson.JSONDecodeError) as error:
        raise ProtobufError(f"cannot decode protobuf: {error}") from error


def _decode_envelope(data: bytes) -> Object:
    type_meta = raw = b""
    content_type = ""
    for number, value in read_fields(data):
        if number == 1:
            type_meta = _as_bytes(value)
        elif number == 2:
            raw = _as_bytes(value)
        elif number == 4:
            content_type = _as_bytes(value).decode()
    names = {number: _as_bytes(value).decode() for number, value in read_fields(type_meta)}
    api_version, kind = names.get(1, ""), names.get(2, "")
    if content_type == "application/json":
        decoded: Object = orjson.loads(raw)
    else:
        decoded = _message_reader(definition_of_message(api_version, kind))(raw)
    # The envelope names the kind; the message itself leaves it out.
    return {**decoded, "kind": kind, "apiVersion": api_version}


def definition_of_message(api_version: str, kind: str) -> str:
    """Return the definition of a kind, or of its list. Raises ProtobufError if there is none."""
    if kind == "DeleteOptions":
        return _META + "DeleteOptions"
    definition = _OTHER_KINDS.get((api_version, kind)) or _builtin_definitions().get((api_version, kind))
    if definition is None:
        version = api_version.rpartition("/")[2]
        raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version or version}"')
    return definition


@cache
def _builtin_definitions() -> dict[tuple[str, str], str]:
    found = {(kind.api_version, kind.kind): kind.definition for kind in BUILTIN_KINDS}
    for kind in BUILTIN_KINDS:
        if kind.list_kind:
            found[kind.api_version, kind.list_kind] = f"{kind.definition.rpartition('.')[0]}.{kind.list_kind}"
    return found


def _as_bytes(value: Raw) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("expected a length-delimited field")
    return value


def _read_string(value: Raw) -> str:
    return _as_bytes(value).decode()


def _read_base64(value: Raw) -> str:
    return b64encode(_as_bytes(value)).decode()


def _read_boolean(value: Raw) -> bool:
    return bool(value)


def _read_integer(value: Raw) -> Any:
    if isinstance(value, int) and value >= _INT_SIGN:
        return value - INT_WRAP
    return value


def _read_time(value: Raw) -> str | None:
    moment = _moment(value)
    return None if moment is None else format_time(moment)


def _read_micro_time(value: Raw) -> str | None:
    moment = _moment(value)
    return None if moment is None else format_micro_time(moment)


def _moment(value: Raw) -> datetime | None:
    """Read seconds and nanoseconds; a message without either is a time that was never set."""
    parts = dict(read_fields(_as_bytes(value)))
    seconds, nanoseconds = _read_integer(parts.get(1, 0)), _read_integer(parts.get(2, 0))
    if not seconds and not nanoseconds:
        return None
    return _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)


def _read_quantity(value: Raw) -> str:
    return next((_read_string(text) for number, text in read_fields(_as_bytes(value)) if number == 1), "") or "0"


def _read_int_or_string(value: Raw) -> Any:
    parts = dict(read_fields(_as_bytes(value)))
    return _read_string(parts.get(3, b"")) if parts.get(1) == 1 else _read_integer(parts.get(2, 0))


def _read_raw_json(value: Raw) -> Any:
    raw = next((_as_bytes(found) for number, found in read_fields(_as_bytes(value)) if number == 1), b"")
    if raw.startswith(MAGIC):
        return decode_protobuf(raw)
    return orjson.loads(raw) if raw else None


_FORMAT_READERS: dict[str, Reader] = {
    "quantity": _read_quantity,
    "int-or-string": _read_int_or_string,
    "date-time": _read_time,
    "micro-time": _read_micro_time,
    "byte": _read_base64,
}
_TYPE_READERS: dict[str, Reader] = {
    "string": _read_string,
    "integer": _read_integer,
    "number": _read_integer,
    "boolean": _read_boolean,
}


def _reader_of(schema: Schema) -> Reader:
    if schema.opaque:
        return _read_raw_json
    if schema.format.startswith("schema-or-"):
        return _union_reader(schema.format.removeprefix("schema-or-"))
    if schema.format in _FORMAT_READERS:
        return _FORMAT_READERS[schema.format]
    if schema.type in _TYPE_READERS:
        return _TYPE_READERS[schema.type]
    if schema.type == "array" and schema.items is not None:
        return _wrapped_list_reader(schema.items)
    return _message_reader(schema.definition)


def _wrapped_list_reader(items: Schema) -> Reader:
    """Read a list that is the value of a map, which protobuf can only say as a message with one repeated field."""
    read_item = _reader_of(items)
    return lambda value: [read_item(item) for number, item in read_fields(_as_bytes(value)) if number == 1]


def _union_reader(alternative: str) -> Reader:
    def read_union(value: Raw) -> Any:
        read_schema = _message_reader(JSON_SCHEMA_PROPS)
        allowed, items = False, []
        for number, part in read_fields(_as_bytes(value)):
            if alternative == "bool":
                if number == 2:
                    return read_schema(part)
                allowed = bool(part)
            elif number == 1:
                return read_schema(part)
            else:
                items.append(read_schema(part) if alternative == "array" else _read_string(part))
        return allowed if alternative == "bool" else items

    return read_union


FieldReader = Callable[[Object, Raw], None]


@cache
def _message_reader(definition: str) -> Reader:
    """Return the reader of a definition's messages. Its fields are looked up at the first message."""
    fields: dict[int, FieldReader] | None = None

    def read_message(value: Raw) -> Object:
        nonlocal fields
        if fields is None:
            fields = _field_readers(definition, definition_schema(definition))
        result: Object = {}
        for number, part in read_fields(_as_bytes(value)):
            read_field = fields.get(number)
            # An unknown number is a field of another version, which upstream skips too.
            if read_field is not None:
                read_field(result, part)
        return result

    return read_message


def _field_readers(definition: str, schema: Schema) -> dict[int, FieldReader]:
    """Return readers by field number. `definition` may be a record that JSON flattens into the one of `schema`."""
    readers: dict[int, FieldReader] = {}
    for name, facts in field_facts(definition).items():
        if facts.number and name in schema.properties:
            readers[facts.number] = _field_reader(name, schema.properties[name])
    for number, embedded in embedded_messages(definition).items():
        readers[number] = _embedded_reader(_field_readers(embedded, schema))
    return readers


def _embedded_reader(fields: dict[int, FieldReader]) -> FieldReader:
    def read_embedded(into: Object, value: Raw) -> None:
        for number, part in read_fields(_as_bytes(value)):
            if number in fields:
                fields[number](into, part)

    return read_embedded


def _field_reader(name: str, schema: Schema) -> FieldReader:
    if schema.type == "array" and schema.items is not None:
        return _list_field_reader(name, schema.items)
    if schema.additional is not None:
        return _map_field_reader(name, schema.additional)
    read = _reader_of(schema)

    def read_field(into: Object, value: Raw) -> None:
        into[name] = read(value)

    return read_field


def _list_field_reader(name: str, items: Schema) -> FieldReader:
    read_item = _reader_of(items)
    may_be_packed = items.type in ("integer", "boolean")

    def read_list_item(into: Object, value: Raw) -> None:
        found = into.setdefault(name, [])
        if may_be_packed and isinstance(value, bytes):
            position = 0
            while position < len(value):
                number, position = read_varint(value, position)
                found.append(read_item(number))
        else:
            found.append(read_item(value))

    return read_list_item


def _map_field_reader(name: str, values: Schema) -> FieldReader:
    read_value = _reader_of(values)
    is_scalar = values.type in _TYPE_READERS

    def read_entry(into: Object, value: Raw) -> None:
        parts = dict(read_fields(_as_bytes(value)))
        empty: Raw = 0 if is_scalar and values.type != "string" else b""
        into.setdefault(name, {})[_read_string(parts.get(1, b""))] = read_value(parts.get(2, empty))

    return read_entry
