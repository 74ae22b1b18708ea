"""HTTP/1.1 on asyncio: kept-alive connections for short exchanges, a connection of its own for each stream.
Methods whose answers have no body whatever their head says (HEAD) are not among them.

Ours because importing the HTTP client of this field takes longer than the rest of an agent's start, and 12 MB.
Failures of the network leave here as OSError.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from control.client.kept_connection import KeptConnection, WholeAnswer

IDLE_SECONDS_MAX = 60.0
LINE_BYTES_MAX = 1 << 20
READ_BYTES_MAX = 1 << 18

#: Connects to the server and lets the protocol that the factory makes have the connection. Raises OSError.
Connect = Callable[[Callable[[], asyncio.BaseProtocol]], Awaitable[asyncio.Transport]]

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


class HttpConnections:
    """Connections to one server."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._idle: list[tuple[float, KeptConnection]] = []

    async def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        seconds_max: float,
    ) -> WholeAnswer:
        """Send a request and read its whole answer within that time. Raises OSError, TimeoutError among them."""
        request = encode_request(method, target, headers, body)
        while (kept := self._take()) is not None:
            try:
                return await self._exchange_on(kept, request, seconds_max)
            except TimeoutError:
                raise
            except OSError:
                if method not in _REPEATABLE:
                    raise
        made = KeptConnection()
        await self._connect(lambda: made)
        return await self._exchange_on(made, request, seconds_max)

    async def open(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> HttpAnswer:
        """Send a request on a connection of its own and read the head of the answer. Raises OSError."""
        reader, writer = await self._open_streams()
        try:
            return await _begin(reader, writer, encode_request(method, target, headers, body))
        except BaseException:
            writer.close()
            raise

    def close(self) -> None:
        """Close the connections that are not in use."""
        for _, connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _open_streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE_BYTES_MAX, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport = await self._connect(lambda: protocol)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _exchange_on(self, connection: KeptConnection, request: bytes, seconds_max: float) -> WholeAnswer:
        answer = await connection.exchange(request, seconds_max)
        if not connection.is_closing:
            self._idle.append((time.monotonic(), connection))
        return answer

    def _take(self) -> KeptConnection | None:
        while self._idle:
            since, connection = self._idle.pop()
            if time.monotonic() - since < IDLE_SECONDS_MAX and not connection.is_closing:
                return connection
            connection.close()
        return None


def encode_request(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None or method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(body or b'')}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


async def _begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> HttpAnswer:
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
