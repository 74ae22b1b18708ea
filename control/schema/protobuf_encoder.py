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
from control.api.protobuf_wire import BYTES, FIXED64, VARINT, bytes_field, integer_field, tag, text_field, varint
from control.api.timestamps import parse_time
from control.schema.builtin import JSON_SCHEMA_PROPS, definition_schema
from control.schema.go_fields import embedded_messages, field_facts
from control.schema.protobuf import MAGIC, definition_of_message
from control.schema.structural import Schema

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Encodes a value as a field of the number it was made for, tag included.
FieldWriter = Callable[[Any], bytes]
#: Encodes a value without a tag.
Payload = Callable[[Any], bytes]


def encode_protobuf(obj: ReadOnlyObject) -> bytes:
    """Encode an object or list of a built-in kind in its envelope. Raises ProtobufError for any other kind."""
    api_version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
    message = _message_writer(definition_of_message(api_version, kind))(obj)
    type_meta = text_field(1, api_version) + text_field(2, kind)
    return MAGIC + bytes_field(1, type_meta) + bytes_field(2, message) + bytes_field(3, b"") + bytes_field(4, b"")


def encode_watch_event(event_type: str, obj: ReadOnlyObject) -> bytes:
    """Encode one event of a watch: a WatchEvent without an envelope, after its length in four bytes."""
    event = text_field(1, event_type) + bytes_field(2, bytes_field(1, encode_protobuf(obj)))
    return len(event).to_bytes(4, "big") + event


def _quantity(value: Any) -> bytes:
    return text_field(1, str(value))


def _int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return integer_field(1, 1) + integer_field(2, 0) + text_field(3, value)
    return integer_field(1, 0) + integer_field(2, value) + text_field(3, "")


def _time(value: Any) -> bytes:
    passed = parse_time(value) - _EPOCH
    seconds = passed.days * 86400 + passed.seconds
    return integer_field(1, seconds) + integer_field(2, passed.microseconds * 1000)


def _raw_json(value: Any) -> bytes:
    return bytes_field(1, orjson.dumps(value))


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
                return integer_field(1, value)
            return integer_field(1, True) + bytes_field(2, write_schema(value))
        if isinstance(value, dict):
            return bytes_field(1, write_schema(value))
        if alternative == "array":
            return b"".join(bytes_field(2, write_schema(item)) for item in value)
        return b"".join(text_field(2, item) for item in value)

    return write_union


def _field_writer(number: int, schema: Schema) -> FieldWriter:
    """Return the writer of one value of a field: of the field itself, or of an item of a list."""
    if not schema.opaque:
        if schema.type in ("integer", "boolean"):
            tag_of_number = tag(number, VARINT)
            return lambda value: tag_of_number + varint(value)
        if schema.type == "number":
            return lambda value: tag(number, FIXED64) + struct.pack("<d", value)
    tag_of_bytes = tag(number, BYTES)
    write = _payload_writer(schema)

    def write_field(value: Any) -> bytes:
        payload = write(value)
        return tag_of_bytes + varint(len(payload)) + payload

    return write_field


def _member_writer(number: int, schema: Schema) -> FieldWriter:
    """Return the writer of a whole field of a record."""
    if schema.type == "array" and schema.items is not None:
        return _joined(_field_writer(number, schema.items))
    if schema.additional is not None:
        write_value = _field_writer(2, schema.additional)
        return lambda entries: b"".join(
            bytes_field(number, text_field(1, key) + write_value(value)) for key, value in sorted(entries.items())
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
        parts += [bytes_field(number, write(obj)) for number, write in embedded.items()]
        return b"".join(parts)

    return write_record
