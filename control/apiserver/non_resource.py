"""Paths that are no resources: discovery, OpenAPI, version, health, metrics and the keys of ServiceAccount tokens.

Documents are built when first asked for and kept, encoded with their ETag, until the table of kinds changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

import orjson

from control.api.errors import path_not_found
from control.api.exchange import ApiResponse
from control.api.kinds import Kind
from control.api.objects import Object
from control.apiserver import discovery
from control.apiserver.health import HealthChecks
from control.apiserver.negotiation import (
    JSON,
    MediaChoice,
    choose_object_media,
    encode_object,
    not_acceptable,
    only_media_types_accepted,
    parse_accept,
)
from control.apiserver.own_pages import PREFIX, OwnPages
from control.apiserver.registry.served_kind import KindRegistry
from control.apiserver.representation import headers_of, value_response
from control.apiserver.request_context import RequestContext
from control.apiserver.routing import method_not_allowed
from control.apiserver.version import VERSION
from control.auth.tokens import JWKS_PATH, TokenIssuer, discovery_document, key_set_document

_AGGREGATED = f"{JSON};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_TEXT = "text/plain; charset=utf-8"
_OPENAPI_V2_VARY = "Accept-Encoding, Accept"
#: The name in use, and the one that clients ask by, which is no valid media type.
_OPENAPI_V2_PROTOBUFS = (
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
)
_OPENID_PATH = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class _Document:
    body: bytes
    tag: str


Handler = Callable[[RequestContext, str], Awaitable[ApiResponse]]


class NonResourcePaths:
    """Answers by path."""

    def __init__(
        self,
        registry: KindRegistry,
        *,
        server_address: str,
        token_issuer: TokenIssuer | None,
        health: HealthChecks,
        metrics: Callable[[], bytes],
        own_pages: OwnPages,
    ) -> None:
        self._registry = registry
        self._server_address = server_address
        self._token_issuer = token_issuer
        self._health = health
        self._metrics = metrics
        self._own_pages = own_pages
        self._documents: dict[str, _Document] = {}
        self._documents_generation = registry.generation

    async def answer(self, context: RequestContext) -> ApiResponse:
        """Answer a request for no resource. Raises 404 and 405."""
        path = context.info.path.rstrip("/")
        if context.info.method not in ("GET", "HEAD"):
            raise path_not_found() if self._find(path) is None else method_not_allowed()
        handler = self._find(path)
        if handler is None:
            raise path_not_found()
        return await handler(context, path)

    def _find(self, path: str) -> Handler | None:
        if path in ("/api", "/apis"):
            return self._groups
        if path.startswith(("/api/", "/apis/")):
            return self._resources
        if path == "/openapi/v2":
            return self._openapi_v2
        if path == "/openapi/v3":
            return self._openapi_index
        if path.startswith("/openapi/v3/"):
            return self._openapi_v3
        if path.partition("/")[2].partition("/")[0] in ("livez", "readyz", "healthz"):
            return self._health_check
        if path.startswith(PREFIX):
            return self._own_page
        return {
            "": self._root,
            "/version": self._version,
            "/metrics": self._metrics_text,
            _OPENID_PATH: self._openid,
            JWKS_PATH: self._openid,
        }.get(path)

    async def _own_page(self, context: RequestContext, path: str) -> ApiResponse:
        return await self._own_pages.answer(context.request)

    # ---- discovery --------------------------------------------------------------------------------------------

    async def _groups(self, context: RequestContext, path: str) -> ApiResponse:
        is_core = path == "/api"
        for clause in parse_accept(context.request.headers.get("accept", "") or JSON):
            if clause.parameter("as"):
                wanted = (clause.parameter("g"), clause.parameter("v"), clause.parameter("as"))
                if wanted == ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") and clause.media_type == JSON:
                    return self._aggregated(context, path, is_core=is_core)
                continue
            media = choose_object_media(clause.media_type)
            if media is not None:
                return self._value(
                    context,
                    discovery.api_versions(self._server_address)
                    if is_core
                    else discovery.api_group_list(self._kinds()),
                    media,
                )
        raise only_media_types_accepted()

    def _aggregated(self, context: RequestContext, path: str, *, is_core: bool) -> ApiResponse:
        document = self._document(
            f"{path} aggregated",
            lambda: orjson.dumps(discovery.aggregated_discovery(self._kinds(), legacy=is_core)),
        )
        return _tagged(context, document, content_type=_AGGREGATED, vary="Accept")

    async def _resources(self, context: RequestContext, path: str) -> ApiResponse:
        parts = path.strip("/").split("/")
        value: Object | None = None
        if parts[0] == "api" and len(parts) == 2:
            value = discovery.api_resource_list(self._kinds(), "", parts[1])
        elif parts[0] == "apis" and len(parts) == 2:
            value = discovery.api_group(self._kinds(), parts[1])
        elif parts[0] == "apis" and len(parts) == 3:
            value = discovery.api_resource_list(self._kinds(), parts[1], parts[2])
        if value is None:
            raise path_not_found()
        media = choose_object_media(context.request.headers.get("accept", ""))
        if media is None:
            raise not_acceptable()
        return self._value(context, value, media)

    def _kinds(self) -> Sequence[Kind]:
        return self._registry.kinds

    def _value(self, context: RequestContext, value: Object, media: MediaChoice) -> ApiResponse:
        context.media = media
        return value_response(context, value)

    # ---- OpenAPI ----------------------------------------------------------------------------------------------

    async def _openapi_v2(self, context: RequestContext, path: str) -> ApiResponse:
        from control.schema.openapi import openapi_v2_document  # only clients that validate or explain ask
        from control.schema.openapi_protobuf import encode_openapi_v2

        kinds = tuple(self._kinds())
        content_type = _choose_openapi_v2_media(context.request.headers.get("accept", ""))
        if content_type is None:
            return ApiResponse(status=406, headers=[("Vary", _OPENAPI_V2_VARY)], body=b"")

        def build() -> _Document:
            body = openapi_v2_document(kinds)
            # Both forms have the tag of the JSON form, as upstream's; Vary keeps them apart.
            tag = discovery.entity_tag(body)
            return _Document(body if content_type == JSON else encode_openapi_v2(body), tag)

        document = await self._slow_document(f"{path} {content_type}", build)
        return _tagged(context, document, content_type=content_type, vary=_OPENAPI_V2_VARY)

    async def _openapi_index(self, context: RequestContext, path: str) -> ApiResponse:
        from control.schema.openapi import openapi_v3_index

        document = self._document(path, lambda: openapi_v3_index(self._kinds()))
        return _dated(context, document.body, content_type=_TEXT)

    async def _openapi_v3(self, context: RequestContext, path: str) -> ApiResponse:
        from control.schema.openapi import openapi_v3_document_at, openapi_v3_hash

        key = path.removeprefix("/openapi/v3/")
        kinds = tuple(self._kinds())
        document_hash = openapi_v3_hash(key, kinds)

        def build() -> _Document:
            return _Document(openapi_v3_document_at(key, kinds) or b"", f'"{document_hash}"')

        document = await self._slow_document(path, build)
        if not document.body:
            return ApiResponse(status=404, body=b"")
        asked_hash = context.query("hash")
        if asked_hash and asked_hash != document_hash:
            location = f"/openapi/v3/{key}?hash={document_hash}"
            return ApiResponse(status=301, headers=[("Location", location), ("Vary", "Accept")], body=b"")
        response = _tagged(context, document, content_type=JSON, vary="Accept")
        if asked_hash:
            # What is asked for by its hash never changes.
            expires = format_datetime(context.now + timedelta(days=365), usegmt=True)
            response.headers += [("Cache-Control", "public, immutable"), ("Expires", expires)]
        return response

    def _document(self, key: str, build: Callable[[], bytes]) -> _Document:
        return self._find_document(key) or self._keep_document(key, _hashed(build()))

    async def _slow_document(self, key: str, build: Callable[[], _Document]) -> _Document:
        """Build a large document beside the event loop; one of kinds that have changed meanwhile is not kept."""
        if found := self._find_document(key):
            return found
        generation = self._registry.generation
        document = await asyncio.to_thread(build)
        return self._keep_document(key, document) if generation == self._registry.generation else document

    def _find_document(self, key: str) -> _Document | None:
        if self._documents_generation != self._registry.generation:
            self._documents.clear()
            self._documents_generation = self._registry.generation
        return self._documents.get(key)

    def _keep_document(self, key: str, document: _Document) -> _Document:
        self._documents[key] = document
        return document

    # ---- the rest ---------------------------------------------------------------------------------------------

    async def _root(self, context: RequestContext, path: str) -> ApiResponse:
        groups = discovery.api_group_list(self._kinds())["groups"]
        paths = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis"]
        for group in groups:
            paths.append(f"/apis/{group['name']}")
            paths += [f"/apis/{version['groupVersion']}" for version in group["versions"]]
        paths += ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz"]
        return value_response(context, {"paths": [*sorted(paths), "/version"]})

    async def _version(self, context: RequestContext, path: str) -> ApiResponse:
        return value_response(context, VERSION)

    async def _health_check(self, context: RequestContext, path: str) -> ApiResponse:
        parts = path.strip("/").split("/")
        report = self._health.report(
            parts[0],
            only="/".join(parts[1:]),
            is_verbose=any(name == "verbose" for name, _ in context.request.query),
            excluded=context.query_all("exclude"),
        )
        if report is None:
            raise path_not_found()
        headers = [("Content-Type", _TEXT), ("X-Content-Type-Options", "nosniff")]
        return ApiResponse(status=200 if report.is_healthy else 500, headers=headers, body=report.text.encode())

    async def _metrics_text(self, context: RequestContext, path: str) -> ApiResponse:
        return ApiResponse(headers=[("Content-Type", "text/plain; version=0.0.4; charset=utf-8")], body=self._metrics())

    async def _openid(self, context: RequestContext, path: str) -> ApiResponse:
        if self._token_issuer is None:
            raise path_not_found()
        keys = [self._token_issuer.public_key]
        if path == JWKS_PATH:
            headers = [("Content-Type", "application/jwk-set+json"), ("Cache-Control", "public, max-age=3600")]
            return ApiResponse(headers=headers, body=encode_object(key_set_document(keys), MediaChoice()))
        address = f"https://{self._server_address}{JWKS_PATH}"
        document = discovery_document(self._token_issuer.issuer, keys, jwks_uri=address)
        headers = [("Content-Type", JSON), ("Cache-Control", "public, max-age=3600")]
        return ApiResponse(headers=headers, body=encode_object(document, MediaChoice()))


def _hashed(body: bytes) -> _Document:
    return _Document(body, discovery.entity_tag(body))


def _choose_openapi_v2_media(accept: str) -> str | None:
    """Return the content type of the form asked for, which differs from what old clients ask for; None for neither."""
    for clause in parse_accept(accept or "*/*"):
        if clause.media_type in (JSON, "*/*", "application/*"):
            return JSON
        if clause.media_type in _OPENAPI_V2_PROTOBUFS:
            return _OPENAPI_V2_PROTOBUFS[0]
    return None


def _tagged(context: RequestContext, document: _Document, *, content_type: str, vary: str) -> ApiResponse:
    """Answer with a document, or 304 if the client has it."""
    headers = [*headers_of(context), ("ETag", document.tag), ("Vary", vary)]
    if context.request.headers.get("if-none-match", "") == document.tag:
        return ApiResponse(status=304, headers=headers, body=b"")
    return ApiResponse(headers=[("Content-Type", content_type), *headers], body=document.body)


def _dated(context: RequestContext, body: bytes, *, content_type: str) -> ApiResponse:
    """Answer with a document that is always as of now, or 304 if the client read it within this second.

    Upstream serves its index so (http.ServeContent with the current time), and the caches of kubectl rely on it.
    """
    now = context.now.replace(microsecond=0)
    headers = [*headers_of(context), ("Last-Modified", format_datetime(now, usegmt=True))]
    known = _parse_date(context.request.headers.get("if-modified-since", ""))
    if known is not None and known >= now:
        return ApiResponse(status=304, headers=headers, body=b"")
    return ApiResponse(headers=[("Content-Type", content_type), *headers], body=body)


def _parse_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else None
