"""Answers: how objects, lists and errors are shown to the client that asked, as its Accept header says.

Plain JSON, the common case, copies the bytes the watch cache keeps. In-process clients get the objects themselves.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from control.api.errors import ApiError
from control.api.exchange import ApiResponse
from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject
from control.apiserver.cache.encoding import CachedObject, join_list
from control.apiserver.negotiation import (
    GZIP_LEVEL,
    GZIP_MINIMUM_BYTES,
    PLAIN_JSON,
    MediaChoice,
    accepts_gzip,
    encode_object,
)
from control.apiserver.registry.served_kind import ServedKind
from control.apiserver.request_context import RequestContext
from control.apiserver.warning_headers import warning_headers
from control.schema.partial_metadata import metadata_only

_JSON_HEADER = ("Content-Type", "application/json")
_LOOSE = MediaChoice()


def value_response(context: RequestContext, value: Any, *, status: int = 200) -> ApiResponse:
    """Answer with an object that is no resource of a kind (a Status, a Scale, a discovery document)."""
    headers = headers_of(context)
    if context.request.in_process:
        return ApiResponse(status=status, headers=headers, object=value)
    media = context.media
    headers.append(_JSON_HEADER if media is PLAIN_JSON else ("Content-Type", media.media_type))
    return ApiResponse(status=status, headers=headers, body=encode_object(value, media))


def error_response(context: RequestContext, error: ApiError) -> ApiResponse:
    """Answer with the Status of an error."""
    response = value_response(context, error.to_status(), status=error.code)
    response.headers.extend(error.headers)
    return response


def headers_of(context: RequestContext) -> list[tuple[str, str]]:
    """The headers every answer of a request carries: its warnings."""
    return warning_headers(context.warnings) if context.warnings else []


def object_response(
    context: RequestContext,
    served: ServedKind,
    *,
    obj: ReadOnlyObject | None = None,
    cached: CachedObject | None = None,
    status: int = 200,
) -> ApiResponse:
    """Answer with one object of a kind, from the cache where it can."""
    media = context.media
    if cached is not None and media is PLAIN_JSON and served.conversion is None and not context.request.in_process:
        headers = headers_of(context)
        headers.append(_JSON_HEADER)
        return ApiResponse(status=status, headers=headers, body=cached.encoded + b"\n")
    if obj is None:
        assert cached is not None
        obj = served.object_of(cached)
    if media.transformation:
        obj = transform_object(context, served.kind, obj)
    return value_response(context, obj, status=status)


def transform_object(context: RequestContext, kind: Kind, obj: ReadOnlyObject, *, with_headers: bool = True) -> Object:
    """Turn one object into the Table or metadata its client wants."""
    media = context.media
    if media.transformation == "Table":
        return table_of(context, kind, [obj], list_metadata=_table_metadata(obj), with_headers=with_headers)
    if media.transformation == "PartialObjectMetadata":
        return metadata_only(obj, media.version)
    raise ApiError(
        406,
        "NotAcceptable",
        f"you requested {media.transformation}, but the requested object is not a list ({obj.get('kind')})",
    )


def _table_metadata(obj: ReadOnlyObject) -> Object:
    return {"resourceVersion": obj["metadata"].get("resourceVersion", "")}


def table_of(
    context: RequestContext,
    kind: Kind,
    objects: Sequence[ReadOnlyObject],
    *,
    list_metadata: Object,
    with_headers: bool = True,
) -> Object:
    """Make a Table of objects; `includeObject` says what each row carries."""
    from control.schema.table import make_table  # columns are loaded when first asked for

    return make_table(
        kind,
        objects,
        now=context.now,
        include_object=context.query("includeObject") or "Metadata",
        version=context.media.version,
        list_metadata=list_metadata,
        with_headers=with_headers,
    )


def list_response(
    context: RequestContext, served: ServedKind, items: Sequence[CachedObject], metadata: Object
) -> ApiResponse:
    """Answer with a list. `metadata` is the list's (resourceVersion, continue, ...)."""
    media = context.media
    plain = served.conversion is None
    if media is PLAIN_JSON and plain and not context.request.in_process:
        headers = headers_of(context)
        headers.append(_JSON_HEADER)
        return ApiResponse(headers=headers, body=_join_list(served, items, metadata))
    objects = [served.object_of(item) for item in items]
    if not media.transformation and not context.request.in_process and not served.is_custom:
        objects = [{name: obj[name] for name in obj if name not in ("kind", "apiVersion")} for obj in objects]
    return objects_response(context, served.kind, objects, metadata)


def objects_response(
    context: RequestContext, kind: Kind, objects: Sequence[ReadOnlyObject], metadata: Object
) -> ApiResponse:
    """Answer with a list of objects as they are, or with what the client wants of them."""
    media = context.media
    if media.transformation == "Table":
        return value_response(context, table_of(context, kind, objects, list_metadata=metadata))
    if media.transformation:
        partial = [metadata_only(obj, media.version) for obj in objects]
        return value_response(
            context,
            {
                "kind": "PartialObjectMetadataList",
                "apiVersion": f"meta.k8s.io/{media.version}",
                "metadata": metadata,
                "items": partial,
            },
        )
    return value_response(context, list_object(kind, objects, metadata))


def list_object(kind: Kind, objects: Iterable[ReadOnlyObject], metadata: Object) -> Object:
    """Make the list object of a kind."""
    return {
        "kind": kind.list_kind,
        "apiVersion": kind.api_version,
        "metadata": metadata,
        "items": list(objects),
    }


def _join_list(served: ServedKind, items: Sequence[CachedObject], metadata: Object) -> bytes:
    head = encode_object(list_object(served.kind, [], metadata), _LOOSE)[:-3]  # without `]}` and the newline
    return join_list(head, items, b"]}\n", with_type=served.is_custom)


async def compress(accept_encoding: str, response: ApiResponse) -> None:
    """Compress a large answer if its client can read it."""
    body = response.body
    if body is None or len(body) < GZIP_MINIMUM_BYTES or not accepts_gzip(accept_encoding):
        return
    response.body = await asyncio.to_thread(_gzip, body)
    response.headers.append(("Content-Encoding", "gzip"))
    response.headers.append(("Vary", "Accept-Encoding"))


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()
