"""Podling's own pages under /podling/: a FastAPI application, imported when somebody first asks for one of them.

They pass the same pipeline as every request (authentication, authorization by path), so the application itself knows
nothing of identities. `/podling/v1/cluster` is what `podling status` shows of the API server; `/podling/openapi.json`
describes the pages.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from control.api.exchange import ApiRequest, ApiResponse

if TYPE_CHECKING:
    from fastapi import FastAPI

    from control.apiserver.own_pages_application import ReadCluster

PREFIX = "/podling/"


class OwnPages:
    """The application and how a request of the pipeline reaches it."""

    def __init__(self, read_cluster: ReadCluster) -> None:
        self._read_cluster = read_cluster
        self._application: FastAPI | None = None

    async def answer(self, request: ApiRequest) -> ApiResponse:
        """Answer a request for a page."""
        if self._application is None:
            from control.apiserver.own_pages_application import make_application

            self._application = make_application(self._read_cluster, prefix=PREFIX)
        return await _call(self._application, request)


async def _call(application: FastAPI, request: ApiRequest) -> ApiResponse:
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "https",
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()],
    }
    response = ApiResponse(body=b"")

    async def receive() -> MutableMapping[str, Any]:
        body = request.body if isinstance(request.body, bytes) else b""
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            response.status = message["status"]
            response.headers = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in message["headers"]
                if name != b"content-length"
            ]
        else:
            response.body = (response.body or b"") + message.get("body", b"")

    await application(scope, receive, send)
    return response
