"""HTTP/1.1 on asyncio streams: kept-alive connections for short exchanges, a connection of its own for each stream.
Methods whose answers have no body whatever their head says (HEAD) are not among them.

Ours because importing the HTTP client of this field takes longer than the rest of an agent's start, and 12 MB.
Failures of the network leave here as OSError.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import httptools

IDLE_SECONDS_MAX = 60.0
LINE_BYTES_MAX = 1 << 20
READ_BYTES_MAX = 1 << 18

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]

#: What may be sent again when a kept connection turns out to have been closed by the server.
_REPEATABLE = frozenset({"GET", "PUT", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """An answered request: the head is read, the rest is the caller's to read. Close the writer when done."""

    status: int
    headers: Mapping[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read_body(self) -> bytes:
        """Read the whole body. Raises OSError."""
        if self.status in (204, 304):
            return b""
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. Raises OSError if the peer leaves before its end."""
        try:
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                async for chunk in self._chunked():
                    yield chunk
            elif "content-length" in self.headers:
                yield await self.reader.readexactly(int(self.headers["content-length"]))
            else:
                while chunk := await self.reader.read(READ_BYTES_MAX):
                    yield chunk
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise ConnectionResetError(f"the answer broke off: {error}") from error

    async def _chunked(self) -> AsyncIterator[bytes]:
        while True:
            size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
            chunk = await self.reader.readexactly(size)
            await self.reader.readexactly(2)
            if not size:
                return
            yield chunk


class _WholeAnswer:
    """Reads one answer to its end: what httptools' parser calls. Interim answers (1xx) are passed over."""

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._is_headed = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_complete = False
        self.is_last = False

    def feed(self, content: bytes) -> None:
        """Take in what has arrived; nothing is the end of the connection. Raises OSError for what is no answer."""
        assert self._parser is not None
        if not content:
            self._end()
            return
        try:
            self._parser.feed_data(content)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise ConnectionResetError(f"the server did not answer in HTTP: {error}") from error

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self._pieces)

    def _end(self) -> None:
        """The end of a body that says no length."""
        if not self._is_headed or "content-length" in self.headers or "transfer-encoding" in self.headers:
            raise ConnectionResetError("the answer broke off")
        self.is_complete = self.is_last = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def release(self) -> None:
        """Part from the parser, which holds this object, so that neither waits for the garbage collector."""
        self._parser = None

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        self._is_headed = self.status >= 200

    def on_body(self, content: bytes) -> None:
        self._pieces.append(content)

    def on_message_complete(self) -> None:
        if not self._is_headed:
            self.headers.clear()
            return
        assert self._parser is not None
        self.is_complete = True
        self.is_last = not self._parser.should_keep_alive()


class HttpConnections:
    """Connections to one server."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._idle: list[tuple[float, Streams]] = []

    async def exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request and read its whole answer. Raises OSError."""
        request = encode_request(method, target, headers, body)
        while True:
            kept = self._take()
            try:
                return await self._exchange_on(kept or await self._connect(), request)
            except OSError:
                if kept is None or method not in _REPEATABLE:
                    raise

    async def open(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> HttpAnswer:
        """Send a request on a connection of its own and read the head of the answer. Raises OSError."""
        streams = await self._connect()
        try:
            return await _begin(streams, encode_request(method, target, headers, body))
        except BaseException:
            streams[1].close()
            raise

    def close(self) -> None:
        """Close the connections that are not in use."""
        for _, (_, writer) in self._idle:
            writer.close()
        self._idle.clear()

    async def _exchange_on(self, streams: Streams, request: bytes) -> tuple[int, Mapping[str, str], bytes]:
        reader, writer = streams
        answer = _WholeAnswer()
        try:
            writer.write(request)
            while not answer.is_complete:
                answer.feed(await reader.read(READ_BYTES_MAX))
        finally:
            answer.release()
            if not answer.is_complete or answer.is_last:
                writer.close()
        if not answer.is_last:
            self._idle.append((time.monotonic(), streams))
        return answer.status, answer.headers, answer.body

    def _take(self) -> Streams | None:
        while self._idle:
            since, (reader, writer) = self._idle.pop()
            if time.monotonic() - since < IDLE_SECONDS_MAX and not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None


def encode_request(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None or method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(body or b'')}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


async def _begin(streams: Streams, request: bytes) -> HttpAnswer:
    reader, writer = streams
    try:
        writer.write(request)
        await writer.drain()
        status, headers = await _read_head(reader)
        while 100 <= status < 200 and status != 101:
            status, headers = await _read_head(reader)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as error:
        raise ConnectionResetError(f"the server did not answer in HTTP: {error}") from error
    return HttpAnswer(status=status, headers=headers, reader=reader, writer=writer)


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if separator:
            headers[name.strip().lower()] = value.strip()
    return int(status_line.split(" ", 2)[1]), headers
