"""Encoding of answers as `application/vnd.kubernetes.protobuf`, for clients that accept nothing else.

The counterpart of `protobuf.py`: message types are those of the schemas, with field numbers from `go_fields`. A field
that is absent or null is not written; readers take that for its zero value, as they do for one that was written.
"""

from __future__ import annotations

import struct
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson

from control.api.objects import ReadOnlyObject
from control.api.timestamps import parse_time
from control.schema.builtin import JSON_SCHEMA_PROPS, definition_schema
from control.schema.go_fields import embedded_messages, field_facts
from control.schema.protobuf import MAGIC, definition_of_message
from control.schema.structural import Schema

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_INT_WRAP = 1 << 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Encodes a value as a field of the number it was made for, tag included.
FieldWriter = Callable[[Any], bytes]
#: Encodes a value without a tag.
Payload = Callable[[Any], bytes]


def encode_protobuf(obj: ReadOnlyObject) -> bytes:
    """Encode an object or list of a built-in kind in its envelope. Raises ProtobufError for any other kind."""
    api_version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
    message = _message_writer(definition_of_message(api_version, kind))(obj)
    type_meta = _text_field(1, api_version) + _text_field(2, kind)
    return MAGIC + _bytes_field(1, type_meta) + _bytes_field(2, message) + _bytes_field(3, b"") + _bytes_field(4, b"")


def encode_watch_event(event_type: str, obj: ReadOnlyObject) -> bytes:
    """Encode one event of a watch: a WatchEvent without an envelope, after its length in four bytes."""
    event = _text_field(1, event_type) + _bytes_field(2, _bytes_field(1, encode_protobuf(obj)))
    return len(event).to_bytes(4, "big") + event


def _varint(number: int) -> bytes:
    if number < 0:
        number += _INT_WRAP
    result = bytearray()
    while number > 127:
        result.append(number & 127 | 128)
        number >>= 7
    result.append(number)
    return bytes(result)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _text_field(number: int, value: str) -> bytes:
    return _bytes_field(number, value.encode())


def _integer_field(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _quantity(value: Any) -> bytes:
    return _text_field(1, str(value))


def _int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return _integer_field(1, 1) + _integer_field(2, 0) + _text_field(3, value)
    return _integer_field(1, 0) + _integer_field(2, value) + _text_field(3, "")


def _time(value: Any) -> bytes:
    passed = parse_time(value) - _EPOCH
    seconds = passed.days * 86400 + passed.seconds
    return _integer_field(1, seconds) + _integer_field(2, passed.microseconds * 1000)


def _raw_json(value: Any) -> bytes:
    return _bytes_field(1, orjson.dumps(value))


_MESSAGE_FORMATS: Mapping[str, Payload] = {
    "quantity": _quantity,
    "int-or-string": _int_or_string,
    "date-time": _time,
    "micro-time": _time,
    "byte": b64decode,
}


def _payload_writer(schema: Schema) -> Payload:
    """Return the writer of values that are length-delimited."""
    if schema.opaque:
        return _raw_json
    if schema.format.startswith("schema-or-"):
        return _union_writer(schema.format.removeprefix("schema-or-"))
    if schema.format in _MESSAGE_FORMATS:
        return _MESSAGE_FORMATS[schema.format]
    if schema.type == "string":
        return lambda value: str(value).encode()
    if schema.type == "array" and schema.items is not None:
        # A list inside a map is a message with one repeated field.
        return _joined(_field_writer(1, schema.items))
    return _message_writer(schema.definition)


def _joined(write_item: FieldWriter) -> Payload:
    return lambda values: b"".join(write_item(value) for value in values)


def _union_writer(alternative: str) -> Payload:
    def write_union(value: Any) -> bytes:
        write_schema = _message_writer(JSON_SCHEMA_PROPS)
        if alternative == "bool":
            if isinstance(value, bool):
                return _integer_field(1, value)
            return _integer_field(1, True) + _bytes_field(2, write_schema(value))
        if isinstance(value, dict):
            return _bytes_field(1, write_schema(value))
        if alternative == "array":
            return b"".join(_bytes_field(2, write_schema(item)) for item in value)
        return b"".join(_text_field(2, item) for item in value)

    return write_union


def _field_writer(number: int, schema: Schema) -> FieldWriter:
    """Return the writer of one value of a field: of the field itself, or of an item of a list."""
    if not schema.opaque:
        if schema.type in ("integer", "boolean"):
            tag = _varint(number << 3 | _VARINT)
            return lambda value: tag + _varint(value)
        if schema.type == "number":
            return lambda value: _varint(number << 3 | _FIXED64) + struct.pack("<d", value)
    tag_of_bytes = _varint(number << 3 | _BYTES)
    write = _payload_writer(schema)

    def write_field(value: Any) -> bytes:
        payload = write(value)
        return tag_of_bytes + _varint(len(payload)) + payload

    return write_field


def _member_writer(number: int, schema: Schema) -> FieldWriter:
    """Return the writer of a whole field of a record."""
    if schema.type == "array" and schema.items is not None:
        return _joined(_field_writer(number, schema.items))
    if schema.additional is not None:
        write_value = _field_writer(2, schema.additional)
        return lambda entries: b"".join(
            _bytes_field(number, _text_field(1, key) + write_value(value)) for key, value in sorted(entries.items())
        )
    return _field_writer(number, schema)


RecordWriter = Callable[[ReadOnlyObject], bytes]


@cache
def _message_writer(definition: str) -> RecordWriter:
    """Return the writer of a definition's messages. Its fields are looked up at the first message."""
    writer: RecordWriter | None = None

    def write_message(obj: ReadOnlyObject) -> bytes:
        nonlocal writer
        if writer is None:
            writer = _record_writer(definition, definition_schema(definition))
        return writer(obj)

    return write_message


def _record_writer(definition: str, schema: Schema) -> RecordWriter:
    """Write the fields of a record. `definition` may be one that JSON flattens into the record of `schema`."""
    members = {
        name: _member_writer(facts.number, schema.properties[name])
        for name, facts in field_facts(definition).items()
        if facts.number and name in schema.properties
    }
    embedded = {number: _record_writer(name, schema) for number, name in embedded_messages(definition).items()}

    def write_record(obj: ReadOnlyObject) -> bytes:
        parts = [write(obj[name]) for name, write in members.items() if obj.get(name) is not None]
        parts += [_bytes_field(number, write(obj)) for number, write in embedded.items()]
        return b"".join(parts)

    return write_record
