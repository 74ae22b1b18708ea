"""OpenAPI documents of the served kinds: version 3 per group version, version 2 for all.

Clients read them for `kubectl explain`, to learn which query parameters an operation takes, and to generate code.
Building one takes milliseconds and nothing of it is kept here but the encoded answers; the index names each document
by a hash of what it is made of, so it is cheap and changes exactly when a document does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha512
from typing import Any

import orjson

from control.api.kinds import Kind
from control.schema.builtin import DEFINITIONS_FOLDER, FIELD_DEFAULTS, load_definitions
from control.schema.go_fields import field_facts
from control.schema.openapi_paths import Operation, fixed_paths, group_paths, group_version_paths
from control.schema.structural import Presence

_FORM = "3"  #: changes when the documents are built differently from the same kinds
_INFO = {"title": "Kubernetes", "version": "v1.36.2"}
_SECURITY: list[dict[str, list[str]]] = [{"BearerToken": []}]
_BEARER = {"BearerToken": {"type": "apiKey", "description": "Bearer Token authentication", "name": "authorization"}}
_REQUEST_TYPES = {
    "patch": (
        "application/apply-patch+cbor",
        "application/apply-patch+yaml",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    )
}
_RESPONSE_TYPES = ("application/json", "application/vnd.kubernetes.protobuf", "application/yaml")
_WATCH_TYPES = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
#: Scalars that upstream encodes by hand, as version 3 can say it and version 2 cannot.
_SPECIAL_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
}

_ZERO_DEFAULTS = {"string": "", "integer": 0, "number": 0, "boolean": False}

Paths = dict[str, list[Operation]]


def openapi_v3_index(kinds: Iterable[Kind]) -> bytes:
    """Encode the answer of /openapi/v3: where each document is, with its hash."""
    served = tuple(kinds)
    paths = {
        key: {"serverRelativeURL": f"/openapi/v3/{key}?hash={openapi_v3_hash(key, served)}"}
        for key in sorted(_document_keys(served))
    }
    return orjson.dumps({"paths": paths})


def openapi_v3_hash(key: str, kinds: Iterable[Kind]) -> str:
    """Return the hash of a document, also its ETag without quotes."""
    text = f"{_FORM} {DEFINITIONS_FOLDER} {key} {_kinds_of(key, tuple(kinds))!r}"
    return sha512(text.encode()).hexdigest().upper()


def openapi_v3_document(group: str, version: str, kinds: Iterable[Kind]) -> bytes | None:
    """Encode the document of a group version; None if it is not served."""
    return openapi_v3_document_at(f"apis/{group}/{version}" if group else f"api/{version}", kinds)


def openapi_v3_document_at(key: str, kinds: Iterable[Kind]) -> bytes | None:
    """Encode the document of a key of the index, e.g. `api/v1`, `apis/apps` or `version`; None if there is none."""
    served = tuple(kinds)
    if key not in _document_keys(served):
        return None
    return _build_v3(key, _kinds_of(key, served))


def _document_keys(kinds: tuple[Kind, ...]) -> set[str]:
    keys = set(fixed_paths())
    for kind in kinds:
        keys.add(kind.base_path.lstrip("/"))
        if kind.group:
            keys.add(f"apis/{kind.group}")
    return keys


def _kinds_of(key: str, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
    return tuple(kind for kind in kinds if kind.base_path == f"/{key}")


def _paths_of(key: str, kinds: tuple[Kind, ...]) -> Paths:
    if kinds:
        return group_version_paths(key, kinds)
    return fixed_paths().get(key) or group_paths(key)


@lru_cache(maxsize=64)
def _build_v3(key: str, kinds: tuple[Kind, ...]) -> bytes:
    paths = _paths_of(key, kinds)
    definitions = load_definitions()
    names = _closure(
        definitions, (name for operations in paths.values() for item in operations for name in item.models)
    )
    document = {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": {path: _v3_path(operations) for path, operations in sorted(paths.items())},
        "components": {
            "schemas": {name: _v3_schema(name, definitions[name]) for name in sorted(names)},
            "securitySchemes": {"BearerToken": {**_BEARER["BearerToken"], "in": "header"}},
        },
    }
    return orjson.dumps(document)


def _closure(definitions: Mapping[str, Any], names: Iterable[str]) -> set[str]:
    """Return the definitions with all they refer to."""
    found: set[str] = set()
    waiting = [name for name in names if name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            _collect_references(definitions[name], waiting)
    return found


def _collect_references(node: Any, into: list[str]) -> None:
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            into.append(reference.rpartition("/")[2])
        for value in node.values():
            _collect_references(value, into)
    elif isinstance(node, list):
        for value in node:
            _collect_references(value, into)


def _v3_schema(name: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    if name in _SPECIAL_SCHEMAS:
        described = {"description": raw["description"]} if "description" in raw else {}
        return {**described, **_SPECIAL_SCHEMAS[name]}
    schema = _plain(raw, prefix="#/components/schemas/", wrap_references=True)
    facts = field_facts(name)
    for field, described in schema.get("properties", {}).items():
        if field in facts and facts[field].presence is Presence.ALWAYS:
            _set_zero_default(described)
        elif "items" in described:
            _set_zero_default(described["items"])
    for field, default in FIELD_DEFAULTS.get(name, {}).items():
        schema["properties"][field]["default"] = default
    return schema


def _set_zero_default(schema: dict[str, Any]) -> None:
    """Say that an absent field reads as its zero value, as upstream does for fields that are always written."""
    if "allOf" in schema or "$ref" in schema:
        reference = schema.pop("$ref", None)
        if reference is not None:
            # Version 3 forbids anything beside a reference.
            schema["allOf"] = [{"$ref": reference}]
        schema["default"] = {}
    elif schema.get("type") in _ZERO_DEFAULTS:
        schema["default"] = _ZERO_DEFAULTS[schema["type"]]


def _plain(raw: Mapping[str, Any], *, prefix: str, wrap_references: bool) -> dict[str, Any]:
    """Undo what the package does for its validator: null in every type, and the only value of kind and apiVersion."""
    result: dict[str, Any] = {}
    for key, value in raw.items():
        if key == "$ref":
            reference = {"$ref": prefix + value.rpartition("/")[2]}
            if wrap_references and len(raw) > 1:
                result["allOf"] = [reference]
            else:
                result.update(reference)
        elif key == "type":
            result["type"] = value[0] if isinstance(value, list) else value
        elif key == "properties":
            result["properties"] = {
                name: _plain(_without_enum(name, field), prefix=prefix, wrap_references=wrap_references)
                for name, field in value.items()
            }
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            result[key] = _plain(value, prefix=prefix, wrap_references=wrap_references)
        else:
            result[key] = value
    return result


def _without_enum(name: str, field: Mapping[str, Any]) -> Mapping[str, Any]:
    if name in ("kind", "apiVersion") and "enum" in field:
        return {key: value for key, value in field.items() if key != "enum"}
    return field


def _v3_path(operations: list[Operation]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    shared: list[dict[str, Any]] = []
    for operation in operations:
        shared = [_v3_parameter(item) for item in operation.path_parameters]
        result[operation.method] = _v3_operation(operation)
    if shared:
        result["parameters"] = shared
    return result


def _v3_operation(operation: Operation) -> dict[str, Any]:
    encoded: dict[str, Any] = {"tags": [operation.tag], "operationId": operation.operation_id}
    if operation.description:
        encoded["description"] = operation.description
    if operation.query_parameters:
        encoded["parameters"] = [_v3_parameter(item) for item in operation.query_parameters]
    if operation.request_model:
        types = _REQUEST_TYPES.get(operation.method, ("*/*",))
        content = {media: {"schema": {"$ref": _reference_v3(operation.request_model)}} for media in types}
        encoded["requestBody"] = {"content": content, "required": operation.method != "delete"}
    answer: dict[str, Any] = {"description": "OK"}
    if operation.response_model:
        schema = {"schema": {"$ref": _reference_v3(operation.response_model)}}
        streams = _WATCH_TYPES if operation.action in ("list", "watch", "watchlist") else ()
        answer["content"] = dict.fromkeys((*_RESPONSE_TYPES, *streams), schema)
    elif operation.is_text:
        answer["content"] = {"*/*": {"schema": {"type": "string"}}}
    responses = dict.fromkeys(operation.success_codes, answer)
    responses["401"] = {"description": "Unauthorized"}
    encoded["responses"] = responses
    encoded.update(operation.extensions)
    return encoded


def _reference_v3(name: str) -> str:
    return f"#/components/schemas/{name}"


def _v3_parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{key: value for key, value in parameter.items() if key != "type"},
        "schema": {"type": parameter["type"], "uniqueItems": True},
    }


def openapi_v2_document(kinds: tuple[Kind, ...]) -> bytes:
    """Encode the answer of /openapi/v2 as JSON."""
    keys = sorted(_document_keys(kinds))
    paths: Paths = {}
    for key in keys:
        paths.update(_paths_of(key, _kinds_of(key, kinds)))
    definitions = load_definitions()
    models = (name for operations in paths.values() for item in operations for name in item.models)
    names = _closure(definitions, models)
    document = {
        "swagger": "2.0",
        "info": _INFO,
        "paths": {path: _v2_path(operations) for path, operations in sorted(paths.items())},
        "definitions": {name: _v2_schema(name, definitions[name]) for name in sorted(names)},
        "parameters": {},
        "securityDefinitions": {"BearerToken": {**_BEARER["BearerToken"], "in": "header"}},
        "security": _SECURITY,
    }
    return orjson.dumps(document)


def _v2_schema(name: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    if name in _SPECIAL_SCHEMAS:
        special = {key: value for key, value in _SPECIAL_SCHEMAS[name].items() if key != "oneOf"}
        described = {"description": raw["description"]} if "description" in raw else {}
        return {**described, **special, "type": "string"}
    return _plain(raw, prefix="#/definitions/", wrap_references=False)


def _v2_path(operations: list[Operation]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    shared: list[Any] = []
    for operation in operations:
        shared = [{**item, "uniqueItems": True} for item in operation.path_parameters]
        parameters: list[Any] = [{**item, "uniqueItems": True} for item in operation.query_parameters]
        if operation.request_model:
            schema = {"$ref": f"#/definitions/{operation.request_model}"}
            parameters.insert(
                0, {"name": "body", "in": "body", "required": operation.method != "delete", "schema": schema}
            )
        answer: dict[str, Any] = {"description": "OK"}
        if operation.response_model:
            answer["schema"] = {"$ref": f"#/definitions/{operation.response_model}"}
        elif operation.is_text:
            answer["schema"] = {"type": "string"}
        encoded: dict[str, Any] = {
            "schemes": ["https"],
            "tags": [operation.tag],
            "operationId": operation.operation_id,
            "consumes": list(_REQUEST_TYPES.get(operation.method, ("*/*",))),
            "produces": list(_RESPONSE_TYPES),
            "responses": {**dict.fromkeys(operation.success_codes, answer), "401": {"description": "Unauthorized"}},
        }
        if parameters:
            encoded["parameters"] = parameters
        encoded.update(operation.extensions)
        result[operation.method] = encoded
    if shared:
        result["parameters"] = shared
    return result
