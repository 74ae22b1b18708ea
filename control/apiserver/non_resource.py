"""Paths that are no resources: discovery, OpenAPI, version, health and metrics."""

from __future__ import annotations

from control.api.errors import path_not_found
from control.api.exchange import ApiResponse
from control.apiserver.representation import value_response
from control.apiserver.request_context import RequestContext
from control.apiserver.version import VERSION


class NonResourcePaths:
    """Answers by path."""

    def __init__(self, server) -> None:
        self._server = server

    async def answer(self, context: RequestContext) -> ApiResponse:
        path = context.info.path.rstrip("/")
        if path == "/version":
            return value_response(context, VERSION)
        if path in ("/livez", "/readyz", "/healthz"):
            return ApiResponse(headers=[("Content-Type", "text/plain; charset=utf-8")], body=b"ok")
        raise path_not_found()
