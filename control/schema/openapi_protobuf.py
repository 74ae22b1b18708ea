"""The OpenAPI version 2 document in the protobuf form that kubectl asks for.

kubectl validates and explains with it where it does not use version 3: always before 1.24, and still for kinds it does
not find there. The message is `openapi.v2.Document` of gnostic (openapiv2/OpenAPIv2.proto); its field numbers are given
here for what a Kubernetes document holds. Values of no fixed type are carried as YAML text, of which JSON is a subset.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from control.api.protobuf_wire import FIXED64, bytes_field, integer_field, tag, text_field

#: Encodes a value as a whole field of the number it was made for.
_Writer = Callable[[Any], bytes]
_Fields = Mapping[str, _Writer]


def encode_openapi_v2(document: bytes) -> bytes:
    """Encode a JSON document of OpenAPI version 2 as protobuf."""
    return _message(orjson.loads(document), _DOCUMENT)


def _message(value: Mapping[str, Any], fields: _Fields) -> bytes:
    """Encode a record; extensions (`x-...`) go into the field that its table has for them."""
    parts = []
    for name, item in value.items():
        writer = fields.get(name)
        if writer is not None:
            parts.append(writer(item))
        elif name.startswith("x-"):
            parts.append(fields["x-"]((name, item)))
    return b"".join(parts)


def _named(name: str, value: bytes) -> bytes:
    """Encode an entry of a map, which gnostic keeps as a list of name (1) and value (2)."""
    return text_field(1, name) + bytes_field(2, value)


# ---- writers of one field ---------------------------------------------------------------------------------------


def _text(number: int) -> _Writer:
    return lambda value: text_field(number, value) if value else b""


def _texts(number: int) -> _Writer:
    return lambda values: b"".join(text_field(number, value) for value in values)


def _integer(number: int) -> _Writer:
    return lambda value: integer_field(number, int(value)) if value else b""


def _double(number: int) -> _Writer:
    return lambda value: tag(number, FIXED64) + struct.pack("<d", value) if value else b""


def _record(number: int, encode: Callable[[Any], bytes]) -> _Writer:
    return lambda value: bytes_field(number, encode(value))


def _records(number: int, encode: Callable[[Any], bytes]) -> _Writer:
    return lambda values: b"".join(bytes_field(number, encode(value)) for value in values)


def _map(number: int, encode: Callable[[Any], bytes]) -> _Writer:
    """Write a map that is a message of its own, with its entries in field 1."""
    return _record(number, _entries(1, encode))


def _entries(number: int, encode: Callable[[Any], bytes]) -> _Writer:
    return lambda values: b"".join(bytes_field(number, _named(name, encode(value))) for name, value in values.items())


def _extension(number: int) -> _Writer:
    return lambda item: bytes_field(number, _named(item[0], _any(item[1])))


# ---- messages -------------------------------------------------------------------------------------------------------


def _any(value: Any) -> bytes:
    """Encode a value of any type: field 2 holds it as YAML."""
    return bytes_field(2, orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))


def _schema(value: Any) -> bytes:
    return _message(value, _SCHEMA)


def _items(value: Any) -> bytes:
    return b"".join(bytes_field(1, _schema(item)) for item in (value if isinstance(value, list) else [value]))


def _additional_properties(value: Any) -> bytes:
    # A choice that was made is written even if it is false.
    return bytes_field(1, _schema(value)) if isinstance(value, dict) else integer_field(2, value)


def _type_item(value: Any) -> bytes:
    return _texts(1)([value] if isinstance(value, str) else value)


def _parameter_or_reference(value: Any) -> bytes:
    return _parameter_item(orjson.dumps(value))


@lru_cache(maxsize=128)
def _parameter_item(text: bytes) -> bytes:
    """Encode a parameter given as JSON: thousands of operations share some fifty parameters."""
    value = orjson.loads(text)
    if "$ref" in value:
        return bytes_field(2, _reference(value))
    return bytes_field(1, _parameter(value))


def _parameter(value: Any) -> bytes:
    if value["in"] == "body":
        return bytes_field(1, _message(value, _BODY_PARAMETER))
    number, fields = _PLAIN_PARAMETERS[value["in"]]
    return bytes_field(2, bytes_field(number, _message(value, fields)))


def _reference(value: Any) -> bytes:
    return _message(value, _REFERENCE)


def _responses(value: Any) -> bytes:
    return b"".join(bytes_field(1, _named(code, _response_or_reference(item))) for code, item in value.items())


def _response_or_reference(value: Any) -> bytes:
    return bytes_field(2, _reference(value)) if "$ref" in value else bytes_field(1, _message(value, _RESPONSE))


def _schema_item(value: Any) -> bytes:
    return bytes_field(1, _schema(value))


def _paths(value: Any) -> bytes:
    return _entries(2, lambda item: _message(item, _PATH_ITEM))(value)


def _operation(value: Any) -> bytes:
    return _message(value, _OPERATION)


def _security_requirement(value: Any) -> bytes:
    return _entries(1, _texts(1))(value)


def _security_definition(value: Any) -> bytes:
    """Encode a scheme of the one type that Kubernetes declares: an API key, second of gnostic's choices."""
    return bytes_field(2, _message(value, _API_KEY))


_REFERENCE: _Fields = {"$ref": _text(1), "description": _text(2)}
_SCHEMA: _Fields = {
    "$ref": _text(1),
    "format": _text(2),
    "title": _text(3),
    "description": _text(4),
    "default": _record(5, _any),
    "multipleOf": _double(6),
    "maximum": _double(7),
    "exclusiveMaximum": _integer(8),
    "minimum": _double(9),
    "exclusiveMinimum": _integer(10),
    "maxLength": _integer(11),
    "minLength": _integer(12),
    "pattern": _text(13),
    "maxItems": _integer(14),
    "minItems": _integer(15),
    "uniqueItems": _integer(16),
    "maxProperties": _integer(17),
    "minProperties": _integer(18),
    "required": _texts(19),
    "enum": _records(20, _any),
    "additionalProperties": _record(21, _additional_properties),
    "type": _record(22, _type_item),
    "items": _record(23, _items),
    "allOf": _records(24, _schema),
    "properties": _map(25, _schema),
    "discriminator": _text(26),
    "readOnly": _integer(27),
    "example": _record(30, _any),
    "x-": _extension(31),
}
_BODY_PARAMETER: _Fields = {
    "description": _text(1),
    "name": _text(2),
    "in": _text(3),
    "required": _integer(4),
    "schema": _record(5, _schema),
    "x-": _extension(6),
}
_QUERY_PARAMETER: _Fields = {
    "required": _integer(1),
    "in": _text(2),
    "description": _text(3),
    "name": _text(4),
    "allowEmptyValue": _integer(5),
    "type": _text(6),
    "format": _text(7),
    "uniqueItems": _integer(20),
    "x-": _extension(23),
}
_PATH_PARAMETER: _Fields = {
    "required": _integer(1),
    "in": _text(2),
    "description": _text(3),
    "name": _text(4),
    "type": _text(5),
    "format": _text(6),
    "uniqueItems": _integer(19),
    "x-": _extension(22),
}
#: Number among the choices of a parameter that is no body, and fields, by where it is; a header is told as a path is.
_PLAIN_PARAMETERS: Mapping[str, tuple[int, _Fields]] = {
    "header": (1, _PATH_PARAMETER),
    "query": (3, _QUERY_PARAMETER),
    "path": (4, _PATH_PARAMETER),
}
_RESPONSE: _Fields = {"description": _text(1), "schema": _record(2, _schema_item), "x-": _extension(5)}
_OPERATION: _Fields = {
    "tags": _texts(1),
    "summary": _text(2),
    "description": _text(3),
    "operationId": _text(5),
    "produces": _texts(6),
    "consumes": _texts(7),
    "parameters": _records(8, _parameter_or_reference),
    "responses": _record(9, _responses),
    "schemes": _texts(10),
    "deprecated": _integer(11),
    "security": _records(12, _security_requirement),
    "x-": _extension(13),
}
_PATH_ITEM: _Fields = {
    "$ref": _text(1),
    "get": _record(2, _operation),
    "put": _record(3, _operation),
    "post": _record(4, _operation),
    "delete": _record(5, _operation),
    "options": _record(6, _operation),
    "head": _record(7, _operation),
    "patch": _record(8, _operation),
    "parameters": _records(9, _parameter_or_reference),
    "x-": _extension(10),
}
_API_KEY: _Fields = {
    "type": _text(1),
    "name": _text(2),
    "in": _text(3),
    "description": _text(4),
    "x-": _extension(5),
}
_INFO: _Fields = {"title": _text(1), "version": _text(2), "description": _text(3), "x-": _extension(7)}
_DOCUMENT: _Fields = {
    "swagger": _text(1),
    "info": _record(2, lambda value: _message(value, _INFO)),
    "host": _text(3),
    "basePath": _text(4),
    "schemes": _texts(5),
    "consumes": _texts(6),
    "produces": _texts(7),
    "paths": _record(8, _paths),
    "definitions": _map(9, _schema),
    "parameters": _map(10, _parameter),
    "security": _records(12, _security_requirement),
    "securityDefinitions": _map(13, _security_definition),
    "x-": _extension(16),
}
