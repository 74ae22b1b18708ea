"""HTTP/1.1 on a connection: httptools' parser in front of the endpoint, answers written as they are.

A request becomes an `ApiRequest` when its body is complete, and is answered before the next one of its connection.
An accepted upgrade (exec, attach, port-forward, proxy) takes the connection away, so that bytes can be spliced without
HTTP in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

import httptools

from control.api.exchange import ApiEndpoint, ApiRequest, ApiResponse
from control.apiserver.filters.impersonation import HEADER_SEPARATOR
from control.apiserver.request_body import BODY_BYTES_MAX

_log = logging.getLogger("podling.apiserver")

#: Go's default for idle connections of an HTTP server is none, kube-apiserver's is 3 minutes.
KEEP_ALIVE_SECONDS = 180.0
#: Go's limit of a request's head.
HEAD_BYTES_MAX = 1 << 20
#: How much of an answer is handed to the connection at a time.
PIECE_BYTES = 512 * 1024
#: What a header costs beside its name and value: colon, space and line end.
_HEADER_BYTES = 4
#: Go's limit of a query's parameters.
QUERY_PARAMETERS_MAX = 10_000
#: Requests of a connection that wait for the answer to an earlier one before reading pauses.
PIPELINED_MAX = 16

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_BODILESS = frozenset({204, 304})


def _parse_query(query: bytes) -> list[tuple[str, str]]:
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=QUERY_PARAMETERS_MAX)


@dataclass(frozen=True, slots=True)
class TakenConnection:
    """A connection that has left HTTP."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass(slots=True)
class OpenConnections:
    """What a listener must end when it closes."""

    connections: set[HttpProtocol] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    is_closing: bool = False


class HttpProtocol(asyncio.Protocol):
    """One client connection."""

    def __init__(self, endpoint: ApiEndpoint, server: OpenConnections) -> None:
        self._endpoint = endpoint
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._peer_certificate: bytes | None = None
        self._peer_address = ""
        self._waiting: deque[tuple[ApiRequest, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._is_streaming = self._is_upgrading = self._is_paused = False
        self._refusal = self._head_bytes = 0
        self._after_head = b""
        self._writable = asyncio.Event()
        self._writable.set()
        self._last_used = self._loop.time()
        self._idle_timer = self._loop.call_later(KEEP_ALIVE_SECONDS, self._close_if_idle)

    # --- the connection -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read the client's certificate once."""
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)
        peer = transport.get_extra_info("peername")
        self._peer_address = str(peer[0]) if peer else ""
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            self._peer_certificate = ssl_object.getpeercert(binary_form=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody listens to a stream any more; a write under way is carried out all the same."""
        self._leave_server()
        self._waiting.clear()
        self._writable.set()
        if self._is_streaming and self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    def close_when_idle(self) -> None:
        """Close now, or after the answers that are due; a stream has no end to wait for."""
        if self._task is None:
            self._close()
        elif self._is_streaming:
            self._task.cancel()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def _close(self) -> None:
        """Close once: a TLS transport that is closed twice before its peer has answered can no longer be cut.

        That of Python 3.11.2 even fails then.
        """
        if not self._transport.is_closing():
            self._transport.close()

    def _leave_server(self) -> None:
        self._server.connections.discard(self)
        self._idle_timer.cancel()

    def _close_if_idle(self) -> None:
        idle_seconds = self._loop.time() - self._last_used
        if self._task is None and idle_seconds >= KEEP_ALIVE_SECONDS:
            self._close()
            return
        delay = KEEP_ALIVE_SECONDS if self._task is not None else KEEP_ALIVE_SECONDS - idle_seconds
        self._idle_timer = self._loop.call_later(delay, self._close_if_idle)

    # --- reading ------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse; keep what follows the head of an upgrade request for whoever takes the connection over."""
        if self._refusal:
            return
        if self._is_upgrading:
            self._after_head += data
            self._transport.pause_reading()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._is_upgrading = True
            self._after_head = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self._refusal = 431 if self._head_bytes > HEAD_BYTES_MAX else 400
            if self._task is None:
                self._refuse()

    def on_message_begin(self) -> None:
        """Parser: a request begins."""
        self._url = b""
        self._head_bytes = 0
        self._headers: dict[str, str] = {}
        self._repeated: dict[str, list[str]] = {}
        self._chunks: list[bytes] = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Parser: (part of) the target."""
        self._url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser: one header."""
        self._count_head(len(name) + len(value) + _HEADER_BYTES)
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key in self._headers:
            self._repeated.setdefault(key, [self._headers[key]]).append(text)
        else:
            self._headers[key] = text

    def on_headers_complete(self) -> None:
        """Parser: the head is complete. Repeated headers are joined."""
        for key, values in self._repeated.items():
            self._headers[key] = (HEADER_SEPARATOR if key.startswith("impersonate-") else ", ").join(values)
        if self._headers.get("expect", "").lower() == "100-continue" and self._task is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Parser: part of the body. Not much more than the limit is kept: the pipeline refuses what is longer."""
        room = BODY_BYTES_MAX + 1 - self._body_bytes
        if room > 0:
            self._chunks.append(body[:room])
        self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        """Parser: a whole request is there."""
        target, _, query = self._url.partition(b"#")[0].partition(b"?")
        if not target.startswith(b"/"):
            target = httptools.parse_url(self._url).path or b"/"
        path = target.decode("latin-1")
        request = ApiRequest(
            method=self._parser.get_method().decode("latin-1"),
            path=unquote(path) if "%" in path else path,
            query=_parse_query(query) if query else (),
            headers=self._headers,
            body=b"".join(self._chunks),
            peer_certificate=self._peer_certificate,
            peer_address=self._peer_address,
        )
        self._chunks = []
        self._waiting.append((request, self._parser.should_keep_alive() and not self._parser.should_upgrade()))
        if self._task is None:
            self._task = self._loop.create_task(self._answer_all())
            self._server.tasks.add(self._task)
            self._task.add_done_callback(self._server.tasks.discard)
        elif len(self._waiting) >= PIPELINED_MAX:
            self._is_paused = True
            self._transport.pause_reading()

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES_MAX:
            raise ValueError("the head of the request is too long")

    def _refuse(self) -> None:
        """Say that what came after the requests answered so far is no HTTP, in the words of Go's server."""
        text = f"{self._refusal} {HTTPStatus(self._refusal).phrase}"
        head = f"{_STATUS_LINES[self._refusal]}content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
        self._transport.write(f"{head}content-length: {len(text)}\r\n\r\n{text}".encode())
        self._close()

    # --- answering ----------------------------------------------------------------------------------------------------

    async def _answer_all(self) -> None:
        """Answer what waits, in order."""
        try:
            while self._waiting:
                request, keeps = self._waiting.popleft()
                response = await self._endpoint(request)
                if response.take_over is not None:
                    await response.take_over(self._take_over())
                    return
                await self._send(request, response, keeps=keeps)
                if not keeps or self._server.is_closing:
                    self._close()
                    return
                if self._is_paused and not self._waiting:
                    self._is_paused = False
                    self._transport.resume_reading()
            if self._refusal:
                self._refuse()
        except Exception:
            _log.exception("Cannot answer a request")
            self._transport.abort()
        finally:
            self._task = None
            self._last_used = self._loop.time()

    async def _send(self, request: ApiRequest, response: ApiResponse, *, keeps: bool) -> None:
        lines = [_STATUS_LINES.get(response.status) or f"HTTP/1.1 {response.status} \r\n"]
        lines += [f"{name.lower()}: {value}\r\n" for name, value in response.headers]
        if not keeps:
            lines.append("connection: close\r\n")
        if response.stream is not None:
            await self._send_stream(lines, response.stream)
            return
        body = response.body or b""
        if response.body is not None and response.status not in _BODILESS:
            lines.append(f"content-length: {len(body)}\r\n")
        head = "".join(lines).encode() + b"\r\n"
        if self._transport.is_closing():
            return
        if request.method == "HEAD":
            body = b""
        # Head and body in one write: one TLS record and one system call instead of two. What follows a first piece
        # waits until the client has read it: a slow reader of a long list holds no copy of it, and others get a turn.
        self._transport.write(head + body[:PIECE_BYTES])
        for start in range(PIECE_BYTES, len(body), PIECE_BYTES):
            await self._wait_until_writable()
            self._transport.write(body[start : start + PIECE_BYTES])
        if not self._writable.is_set():
            await self._writable.wait()

    async def _wait_until_writable(self) -> None:
        await asyncio.sleep(0)
        await self._writable.wait()

    async def _send_stream(self, lines: list[str], stream: AsyncIterator[bytes]) -> None:
        """Send chunks until the stream ends or the client leaves, which cancels the task."""
        self._is_streaming = True
        transport = self._transport
        try:
            # The head goes out at once: a watch may have nothing to say for minutes.
            transport.write("".join(lines).encode() + b"transfer-encoding: chunked\r\n\r\n")
            if not transport.is_closing():
                async for chunk in stream:
                    if chunk:
                        transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                    if not self._writable.is_set():
                        await self._writable.wait()
                transport.write(b"0\r\n\r\n")
        finally:
            self._is_streaming = False
            await cast(Any, stream).aclose()

    def _take_over(self) -> TakenConnection:
        """Replace this protocol by a stream."""
        self._leave_server()
        reader = asyncio.StreamReader(loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if self._after_head:
            reader.feed_data(self._after_head)
        self._transport.resume_reading()
        return TakenConnection(reader, asyncio.StreamWriter(self._transport, protocol, reader, self._loop))
