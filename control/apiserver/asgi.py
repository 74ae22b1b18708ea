"""The ASGI side of the API server: an HTTP request becomes an `ApiRequest`, an `ApiResponse` becomes an answer.

Everything the API serves is answered by this raw application. Podling's own pages are a FastAPI application
(`own_pages.py`), which is imported when somebody asks for one of them: it would cost a quarter of the start-up time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from control.api.exchange import ApiEndpoint, ApiRequest, ApiResponse, RawConnection
from control.apiserver.filters.impersonation import HEADER_SEPARATOR
from control.apiserver.request_body import BODY_BYTES_MAX

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Where `serving.py` puts the connection into the scope.
CONNECTION = "podling.connection"
CYCLE = "podling.cycle"

Headers = list[tuple[bytes, bytes]]


class Connection:
    """What the ASGI application may ask of the connection a request came on."""

    peer_certificate: bytes | None = None

    def take_over(self) -> RawConnection:
        """Leave HTTP: everything that follows the request head belongs to the caller."""
        raise NotImplementedError

    async def send_whole(self, cycle: Any, status: int, headers: Headers, body: bytes) -> None:
        """Send a complete answer in one write."""
        raise NotImplementedError


class AsgiApplication:
    """The raw ASGI application around an endpoint."""

    def __init__(self, endpoint: ApiEndpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        connection: Connection | None = scope.get(CONNECTION)
        method = scope["method"]
        body = b"" if method in ("GET", "HEAD") else await _read_body(receive)
        response = await self._endpoint(_to_request(scope, body, connection))
        if response.take_over is not None and connection is not None:
            await response.take_over(connection.take_over())
            return
        if response.stream is None and connection is not None:
            await connection.send_whole(scope[CYCLE], response.status, _headers_of(response), response.body or b"")
            return
        await send({"type": "http.response.start", "status": response.status, "headers": _headers_of(response)})
        if response.stream is None:
            await send({"type": "http.response.body", "body": b"" if method == "HEAD" else response.body or b""})
        else:
            await _send_stream(response, receive, send)


async def _read_body(receive: Receive) -> bytes:
    """Read a body, but not much more than the limit: the pipeline refuses what is longer."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    chunks, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= BODY_BYTES_MAX + 1:
            chunks.append(chunk)
        elif size - len(chunk) <= BODY_BYTES_MAX:
            chunks.append(chunk[: BODY_BYTES_MAX + 1 - (size - len(chunk))])
    return b"".join(chunks)


def _to_request(scope: Scope, body: bytes, connection: Connection | None) -> ApiRequest:
    query = scope["query_string"]
    client = scope.get("client")
    return ApiRequest(
        method=scope["method"],
        path=scope["path"],
        query=parse_qsl(query.decode("latin-1"), keep_blank_values=True) if query else (),
        headers=_headers(scope["headers"]),
        body=body,
        peer_certificate=connection.peer_certificate if connection else None,
        peer_address=client[0] if client else "",
    )


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in headers:
            separator = HEADER_SEPARATOR if name.startswith("impersonate-") else ", "
            value = headers[name] + separator + value
        headers[name] = value
    return headers


def _headers_of(response: ApiResponse) -> Headers:
    headers = [(name.lower().encode("latin-1"), value.encode("utf-8")) for name, value in response.headers]
    if response.body is not None and response.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(response.body)))
    return headers


async def _send_stream(response: ApiResponse, receive: Receive, send: Send) -> None:
    """Send chunks until the stream ends or the client leaves, whichever comes first."""
    assert response.stream is not None
    stream = response.stream
    # The head goes out at once: a watch may have nothing to say for minutes.
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    sender = asyncio.ensure_future(_copy_chunks(stream, send))
    leaver = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({sender, leaver}, return_when=asyncio.FIRST_COMPLETED)
        if sender.done():
            sender.result()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        leaver.cancel()
        sender.cancel()
        await asyncio.gather(sender, leaver, return_exceptions=True)
        await stream.aclose()  # type: ignore[attr-defined]


async def _copy_chunks(stream: Any, send: Send) -> None:
    async for chunk in stream:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
