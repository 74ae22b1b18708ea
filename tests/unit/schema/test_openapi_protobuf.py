from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from control.api.builtin_kinds import BUILTIN_KINDS
from control.schema.openapi import openapi_v2_document
from control.schema.openapi_protobuf import encode_openapi_v2

#: gnostic's messages by their field numbers: JSON name and type. `*` repeats; a type `name=value` is a map's entry; a
#: message whose name starts with `=` stands for the value of its one field, one with `|` for its name and value.
MESSAGES: dict[str, dict[int, str]] = {
    "Document": {1: "swagger text", 2: "info Info", 3: "host text", 4: "basePath text", 5: "schemes text*",
                 8: "paths =Paths", 9: "definitions =Definitions", 10: "parameters =ParameterDefinitions",
                 12: "security =SecurityRequirement*", 13: "securityDefinitions =SecurityDefinitions"},
    "Info": {1: "title text", 2: "version text", 3: "description text"},
    "=Paths": {2: "entry PathItem"},
    "=Definitions": {1: "entry Schema"},
    "=ParameterDefinitions": {1: "entry =Parameter"},
    "=SecurityDefinitions": {1: "entry =SecurityDefinition"},
    "=SecurityRequirement": {1: "entry =Texts"},
    "=Texts": {1: "value text*"},
    "=SecurityDefinition": {2: "value ApiKey"},
    "ApiKey": {1: "type text", 2: "name text", 3: "in text", 4: "description text"},
    "PathItem": {1: "$ref text", 2: "get Operation", 3: "put Operation", 4: "post Operation", 5: "delete Operation",
                 6: "options Operation", 7: "head Operation", 8: "patch Operation", 9: "parameters =ParametersItem*",
                 10: "x Any"},
    "Operation": {1: "tags text*", 2: "summary text", 3: "description text", 5: "operationId text",
                  6: "produces text*", 7: "consumes text*", 8: "parameters =ParametersItem*",
                  9: "responses =Responses", 10: "schemes text*", 11: "deprecated bool", 13: "x Any"},
    "=ParametersItem": {1: "value =Parameter", 2: "value Reference"},
    "=Parameter": {1: "value BodyParameter", 2: "value =NonBodyParameter"},
    "=NonBodyParameter": {3: "value QueryParameter", 4: "value PathParameter"},
    "BodyParameter": {1: "description text", 2: "name text", 3: "in text", 4: "required bool", 5: "schema Schema"},
    "QueryParameter": {1: "required bool", 2: "in text", 3: "description text", 4: "name text", 6: "type text",
                       20: "uniqueItems bool"},
    "PathParameter": {1: "required bool", 2: "in text", 3: "description text", 4: "name text", 5: "type text",
                      19: "uniqueItems bool"},
    "Reference": {1: "$ref text"},
    "=Responses": {1: "entry =ResponseValue"},
    "=ResponseValue": {1: "value Response", 2: "value Reference"},
    "Response": {1: "description text", 2: "schema =SchemaItem"},
    "=SchemaItem": {1: "value Schema"},
    "Schema": {1: "$ref text", 2: "format text", 3: "title text", 4: "description text", 5: "default =Any",
               6: "multipleOf double", 7: "maximum double", 8: "exclusiveMaximum bool", 9: "minimum double",
               10: "exclusiveMinimum bool", 11: "maxLength int", 12: "minLength int", 13: "pattern text",
               14: "maxItems int", 15: "minItems int", 16: "uniqueItems bool", 17: "maxProperties int",
               18: "minProperties int", 19: "required text*", 20: "enum =Any*",
               21: "additionalProperties =AdditionalProperties", 22: "type =Type", 23: "items =Items",
               24: "allOf Schema*", 25: "properties =Definitions", 31: "x Any"},
    "=AdditionalProperties": {1: "value Schema", 2: "value bool"},
    "=Type": {1: "value text"},
    "=Items": {1: "value Schema"},
    "=Any": {2: "value yaml"},
}  # fmt: skip


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
            yield tag >> 3, value
        elif tag & 7 == 1:
            yield tag >> 3, struct.unpack("<d", data[at : at + 8])[0]
            at += 8
        else:
            assert tag & 7 == 2
            length, at = varint(data, at)
            assert at + length <= len(data)
            yield tag >> 3, data[at : at + length]
            at += length


def decode(data: bytes, message: str) -> Any:
    """Decode to the JSON that it was made of. Fails on a field that the message does not have."""
    result: dict[str, Any] = {}
    for number, raw in fields(data):
        name, _, kind = MESSAGES[message][number].partition(" ")
        if name in ("entry", "x"):
            entry = dict(fields(raw))
            assert set(entry) <= {1, 2}
            result[entry[1].decode()] = decode_value(entry[2], "=Any" if name == "x" else kind)
        elif kind.endswith("*"):
            result.setdefault(name, []).append(decode_value(raw, kind[:-1]))
        else:
            assert name not in result
            result[name] = decode_value(raw, kind)
    is_value = message.startswith("=") and any(text.startswith("value") for text in MESSAGES[message].values())
    return result.get("value", []) if is_value else result


def decode_value(raw: Any, kind: str) -> Any:
    if kind == "text":
        return raw.decode()
    if kind == "bool":
        return bool(raw)
    if kind in ("int", "double"):
        return raw
    return json.loads(raw) if kind == "yaml" else decode(raw, kind)


def without_defaults(node: Any) -> Any:
    """What protobuf cannot tell from absence left out: false and empty lists, except as a choice that was made."""
    if isinstance(node, dict):
        kept = {key: without_defaults(value) for key, value in node.items() if key == "required" or value is not False}
        return {key: value for key, value in kept.items() if not (key == "required" and value is False)}
    return [without_defaults(item) for item in node] if isinstance(node, list) else node


def test_the_whole_document_survives_the_way_through_protobuf() -> None:
    document = openapi_v2_document(BUILTIN_KINDS)
    assert decode(encode_openapi_v2(document), "Document") == without_defaults(json.loads(document))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^a$", "minLength": 1, "maxLength": 300},
        {"type": "number", "minimum": 0.5, "maximum": 1e9, "multipleOf": 0.25, "exclusiveMinimum": True},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 128, "uniqueItems": True},
        {"type": "object", "additionalProperties": {"type": "integer", "format": "int64"}, "maxProperties": 4},
        {"type": "object", "additionalProperties": True, "title": "any"},
        {"type": "object", "additionalProperties": False},
        {"enum": ["a", 1, None, {"b": []}], "default": {"c": "d: e"}},
        {"allOf": [{"$ref": "#/definitions/a"}], "description": "Größe"},
        {"type": "object", "required": ["a", "b"], "properties": {"a": {}, "b": {"x-kubernetes-embedded": True}}},
        {"x-kubernetes-group-version-kind": [{"group": "", "kind": "Pod", "version": "v1"}]},
    ],
    ids=lambda schema: ",".join(schema),
)
def test_a_schema_keeps_every_rule(schema: dict[str, Any]) -> None:
    document = {"swagger": "2.0", "definitions": {"io.example.Thing": schema}}
    assert decode(encode_openapi_v2(json.dumps(document).encode()), "Document") == document


def test_references_to_shared_parameters_and_responses_stay_references() -> None:
    shared = {"$ref": "#/parameters/pretty"}
    operation = {"operationId": "a", "parameters": [shared], "responses": {"200": {"$ref": "#/responses/ok"}}}
    parameter = {"name": "pretty", "in": "query", "type": "string"}
    document = {"paths": {"/a": {"get": operation}}, "parameters": {"pretty": parameter}}
    assert decode(encode_openapi_v2(json.dumps(document).encode()), "Document") == document
