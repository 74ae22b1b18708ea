"""Requests that a node answers: found, sent to its agent over mutual TLS, and the answer passed on.

One small HTTP/1.1 client for all of them. An answer is a stream of bytes; if the agent switches protocols (101), the
client's connection is handed over and bytes are spliced both ways until either side ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

import httptools

from control.api.errors import ApiError, bad_request, not_found
from control.api.exchange import ApiResponse, RawConnection
from control.api.objects import ReadOnlyObject

CONNECT_SECONDS = 10.0
FLUSH_SECONDS = 5.0
DEFAULT_NODE_PORT = 10250
_CHUNK_BYTES = 64 * 1024
_ADDRESS_TYPES = ("InternalIP", "Hostname", "ExternalIP")

#: Headers that concern one connection only (RFC 9110 7.6.1).
_HOP_HEADERS = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a request goes: host, port, whether over TLS (and whether to verify it), and the path with its query."""

    host: str
    port: int
    path: str
    uses_tls: bool = True
    verifies_tls: bool = True

    @property
    def url(self) -> str:
        """The whole address."""
        return f"{'https' if self.uses_tls else 'http'}://{self.host}:{self.port}{self.path}"


class NodeUnreachableError(ApiError):
    """No answer from a target. `cause` is worded as Go's network errors are; clients and people look for them."""

    def __init__(self, target: Target, cause: str) -> None:
        super().__init__(500, "", f"error dialing backend: {cause}")
        self.target = target
        self.cause = cause


@dataclass(slots=True)
class _Head:
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)


class NodeProxy:
    """Sends requests to agents. `ssl_context` holds the API server's client certificate and trusts the cluster's CA.

    `unverified_context` holds the same certificate and trusts anybody, for targets that ask for that.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None, *, unverified_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context
        self._unverified_context = unverified_context or ssl_context

    async def forward(
        self, target: Target, *, method: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> ApiResponse:
        """Send a request and return the answer: a stream, or the taking over of the client's connection.

        Raises NodeUnreachableError.
        """
        exchange = _Exchange(*await self._connect(target))
        try:
            await exchange.send(target, method, headers, body)
            head = await exchange.read_head()
        except (OSError, asyncio.IncompleteReadError, httptools.HttpParserError) as error:
            exchange.close()
            raise NodeUnreachableError(target, _read_failure(error)) from error
        except BaseException:
            exchange.close()
            raise
        if exchange.is_upgraded:
            return ApiResponse(status=head.status, take_over=exchange.splice)
        kept = [(name, value) for name, value in head.headers if name.lower() not in _HOP_HEADERS]
        return ApiResponse(status=head.status, headers=kept, stream=exchange.read_body())

    async def _connect(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = self._ssl_context if target.verifies_tls else self._unverified_context
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(target.host, target.port, ssl=context if target.uses_tls else None)
        except (OSError, TimeoutError) as error:
            cause = f"dial tcp {target.host}:{target.port}: {_dial_failure(error)}"
            raise NodeUnreachableError(target, cause) from error


class _Exchange:
    """One request and its answer on a connection of its own. Also the callbacks of the parser."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = httptools.HttpResponseParser(self)
        self._head = _Head()
        self._chunks: list[bytes] = []
        self._is_head_complete = False
        self._is_complete = False
        self.is_upgraded = False
        self._raw_head = b""
        self._after_head = b""

    # -- callbacks of the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self._head.status = self._parser.get_status_code()
        self._is_head_complete = True

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        self._is_complete = True

    # -- steps

    async def send(self, target: Target, method: str, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Write the request."""
        lines = [f"{method} {target.path} HTTP/1.1", f"Host: {target.host}:{target.port}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        await self._writer.drain()

    async def read_head(self) -> _Head:
        """Read until the answer's head is complete."""
        while not self._has_head():
            data = await self._reader.read(_CHUNK_BYTES)
            if not data:
                raise asyncio.IncompleteReadError(b"", None)
            self._raw_head += data
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade:
                self.is_upgraded = True
                break
        if self.is_upgraded:
            head, _, self._after_head = self._raw_head.partition(b"\r\n\r\n")
            self._raw_head = head + b"\r\n\r\n"
        else:
            self._raw_head = b""
        return self._head

    def _has_head(self) -> bool:
        return self._is_head_complete

    async def read_body(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; ends with the answer or the connection."""
        try:
            while True:
                chunks, self._chunks = self._chunks, []
                if chunks:
                    yield b"".join(chunks)
                if self._is_complete:
                    return
                data = await self._reader.read(_CHUNK_BYTES)
                if not data:
                    return
                self._parser.feed_data(data)
        finally:
            self.close()

    async def splice(self, client: RawConnection) -> None:
        """Pass the head of the answer on, then bytes both ways until either side has ended."""
        client.writer.write(self._raw_head + self._after_head)
        tasks = {
            asyncio.ensure_future(_copy(client.reader, self._writer)),
            asyncio.ensure_future(_copy(self._reader, client.writer)),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in (self._writer, client.writer):
                _close(writer)

    def close(self) -> None:
        """Close the connection to the agent."""
        self._writer.close()


def _close(writer: asyncio.StreamWriter) -> None:
    """Close once all is sent; a peer that reads no more would keep the connection for ever."""
    writer.close()
    asyncio.get_running_loop().call_later(FLUSH_SECONDS, writer.transport.abort)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until the source ends, at the pace of the target."""
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK_BYTES):
            target.write(data)
            await target.drain()


def _dial_failure(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "i/o timeout"
    if isinstance(error, ssl.SSLError) or not error.errno:
        return str(error)
    # asyncio's text names the call and the address; Go's is the system's alone.
    return f"connect: {os.strerror(error.errno).lower()}"


def _read_failure(error: Exception) -> str:
    return "EOF" if isinstance(error, asyncio.IncompleteReadError) else str(error) or type(error).__name__


def node_address(node: ReadOnlyObject) -> tuple[str, int]:
    """Where a node's agent listens. Raises 400 if the node does not say."""
    status = node.get("status") or {}
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or DEFAULT_NODE_PORT
    addresses = status.get("addresses") or ()
    for wanted in _ADDRESS_TYPES:
        for address in addresses:
            if address.get("type") == wanted and address.get("address"):
                return address["address"], port
    raise bad_request(f"no preferred addresses found; known addresses: {[item.get('address') for item in addresses]}")


def upgrade_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers of a request as its agent must see them: all but credentials and the host."""
    dropped = {"host", "authorization", "content-length", "cookie"}
    return [(name, value) for name, value in headers if name not in dropped and not name.startswith("impersonate-")]


def node_not_found(node_name: str) -> ApiError:
    """404 of a Pod whose node does not exist; upstream names the Pod's resource with the node's name."""
    return not_found("", "pods", node_name)


def encode_query(query: Sequence[tuple[str, str]]) -> str:
    """Encode a query with its leading `?`, empty if there is none."""
    return "?" + urlencode(query) if query else ""
