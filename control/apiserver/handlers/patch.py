"""PATCH of one object: JSON patch, merge patch, strategic merge patch and server-side apply.

A patch is read once and applied to the live object inside the compare-and-swap loop, again if somebody else wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from control.api.errors import ApiError, FieldError, bad_request, invalid
from control.api.exchange import ApiResponse
from control.api.objects import Object
from control.apiserver.go_json import GoJsonError, json_kind, parse_json
from control.apiserver.handlers.responding import write_request, written_response
from control.apiserver.negotiation import JSON, PROTOBUF, YAML
from control.apiserver.options import WriteOptions, read_write_options
from control.apiserver.patch.go_format import format_go
from control.apiserver.patch.go_order import in_go_order, touched_by
from control.apiserver.patch.patch_body import (
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_MERGE_PATCH,
    PatchBody,
    read_patch_body,
)
from control.apiserver.patch.server_side_apply import apply_configuration
from control.apiserver.registry.field_managers import field_writer, fields_reset_by
from control.apiserver.registry.resource_store import Change, ResourceStore
from control.apiserver.registry.write_request import WriteRequest
from control.apiserver.request_body import BodyKind, kind_mismatch, unsupported_media_type
from control.apiserver.request_context import RequestContext
from control.schema.structural import Schema
from control.schema.unstructured import conversion_problem
from control.schema.validate import DecodeError, decode_value, duplicate_fields, strict_failure

APPLY_PATCH = "application/apply-patch+yaml"


async def patch(context: RequestContext, store: ResourceStore, *, is_status: bool = False) -> ApiResponse:
    """Change a part of an object (or of its status)."""
    media_type = patch_type_of(context, is_custom=store.served.is_custom)
    is_apply = media_type == APPLY_PATCH
    options = read_write_options(context, "PatchOptions", is_apply=is_apply)
    write = write_request(context, options)
    if is_apply:
        produce = _applier(context, store, write)
    else:
        produce = _patching(context, store, options, read_request_patch(context, options))
    change = Change(
        produce,
        records_fields=not is_apply,
        is_status=is_status,
        allows_create=is_apply and not context.info.subresource,
    )
    return written_response(context, store, await store.update(write, change))


def patch_type_of(context: RequestContext, *, is_custom: bool = False) -> str:
    """The type of a patch. Raises 415 for what is none."""
    media_type = context.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in (JSON_PATCH, MERGE_PATCH, APPLY_PATCH):
        return media_type
    if media_type == STRATEGIC_MERGE_PATCH:
        if is_custom:
            raise unsupported_media_type([JSON_PATCH, MERGE_PATCH, APPLY_PATCH])
        return media_type
    if is_custom and media_type not in (JSON, YAML, PROTOBUF):
        raise unsupported_media_type([JSON_PATCH, MERGE_PATCH, APPLY_PATCH])
    raise ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})


def read_request_patch(context: RequestContext, options: WriteOptions) -> PatchBody:
    """Read the patch of a request."""
    is_strict = options.field_validation != "Ignore"
    return read_patch_body(context.request.body, patch_type_of(context), is_strict=is_strict)


def _patching(
    context: RequestContext, store: ResourceStore, options: WriteOptions, body: PatchBody
) -> Callable[[Object | None], Object]:
    served = store.served

    def produce(live: Object | None) -> Object:
        if live is None:
            raise served.not_found(context.info.name)
        document = body.apply(live, served.schema)
        return served.settle(decode_patched(context, options, body, document, served.schema, served.body_kind))

    return produce


def decode_patched(
    context: RequestContext,
    options: WriteOptions,
    body: PatchBody,
    document: Any,
    schema: Schema,
    expected: BodyKind,
) -> Object:
    """Decode what a patch made. Raises 422 about the patch for what the kind does not allow."""
    is_strategic = body.media_type == STRATEGIC_MERGE_PATCH
    if not is_strategic and (problem := kind_mismatch(document, expected)):
        raise _patch_invalid(body, document, schema, problem)
    try:
        decoded = decode_value(document, schema)
    except DecodeError as error:
        problem = conversion_problem(document, schema) if is_strategic else ""
        raise _patch_invalid(body, document, schema, problem or str(error)) from None
    strict_errors = [*body.strict_errors, *decoded.strict_errors]
    if strict_errors and options.field_validation != "Ignore":
        if options.field_validation == "Strict":
            raise _patch_invalid(body, document, schema, strict_failure(strict_errors))
        for text in strict_errors:
            context.warn(text)
    return decoded.object


def _patch_invalid(body: PatchBody, document: Any, schema: Schema, problem: str) -> ApiError:
    if body.media_type == STRATEGIC_MERGE_PATCH:
        shown = format_go(body.value)
    else:
        shown = orjson.dumps(in_go_order(document, schema, touched_by(body.value))).decode()
    return invalid("", "", "", [FieldError.invalid("patch", shown, problem)])


def _applier(context: RequestContext, store: ResourceStore, write: WriteRequest) -> Callable[[Object | None], Object]:
    body = read_configuration(context)
    served = store.served

    def produce(live: Object | None) -> Object:
        obj = apply_configuration(
            live,
            body.object,
            served.schema,
            field_writer(served, write),
            kind=store.kind.kind,
            force=write.options.is_forced,
            reset=fields_reset_by(served, write),
        )
        if body.duplicates and write.options.field_validation != "Ignore":
            if write.options.field_validation == "Strict":
                raise bad_request(f"error strict decoding YAML: {body.duplicates}")
            context.warn(body.duplicates)
        try:
            return served.settle(decode_value(obj, served.schema).object)
        except DecodeError as error:  # a number that its field has no room for: all else was judged with the schema
            raise bad_request(str(error)) from None

    return produce


@dataclass(frozen=True, slots=True)
class Configuration:
    """An applied configuration; `duplicates` says which keys it gives twice."""

    object: Object
    duplicates: str = ""


def read_configuration(context: RequestContext) -> Configuration:
    """Read the body of an apply. Raises 400 in upstream's words."""
    body = context.request.body
    if not isinstance(body, bytes):
        return Configuration(body)
    try:
        value, _ = parse_json(body)
        repeated = bool(duplicate_fields(value, body))
    except GoJsonError:
        value, repeated = None, True
    duplicates: list[str] = []
    if repeated:
        from control.apiserver.yaml_encoding import YamlError, load_yaml  # PyYAML is loaded when first needed

        try:
            value, found = load_yaml(body)
        except YamlError as error:
            raise bad_request(f"error decoding YAML: error converting YAML to JSON: yaml: {error}") from None
        duplicates = [f'  line {line}: key "{key}" already set in map' for line, key in found]
    if value is not None and not isinstance(value, dict):
        raise bad_request(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal"
            f" {json_kind(value)} into Go value of type map[string]interface {{}}"
        )
    value = value or {}
    for name in ("apiVersion", "kind"):
        if not isinstance(value.get(name, ""), str):
            del value[name]  # upstream reads what is no text as nothing
    heading = "error converting YAML to JSON: yaml: unmarshal errors:"
    return Configuration(value, "\n".join([heading, *duplicates]) if duplicates else "")
