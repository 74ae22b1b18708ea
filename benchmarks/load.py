"""Load on an API server over raw TLS sockets, so that the client costs as little of the machine as it can."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

WAIT_SECONDS_MAX = 30.0

P = TypeVar("P", bound=asyncio.Protocol)


class Caller(asyncio.Protocol):
    """A client that sends the next request as soon as an answer is complete, while there is one."""

    def __init__(self, next_request: Callable[[], bytes | None]) -> None:
        self.answers = self.body_bytes = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next_request = next_request
        self._received = bytearray()
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def begin(self) -> None:
        """Send the first request."""
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count the answer once its body is there."""
        if self._missing:
            self._missing -= len(data)
        else:
            self._received += data
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            self.body_bytes = self._check_head(bytes(self._received[:end]))
            self._missing = end + 4 + self.body_bytes - len(self._received)
        if self._missing == 0:
            self._received.clear()
            self.answers += 1
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """An end before the last answer is a failure."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def _check_head(self, head: bytes) -> int:
        status = int(head[9:12])
        if status >= 300:
            raise AssertionError(f"the server answered {status}")
        return next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))

    def _send(self) -> None:
        request = self._next_request()
        if request is not None:
            self._transport.write(request)
        elif not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True)
class Tally:
    """What all watchers have received, and a wait for an amount of it."""

    events: int = 0
    last_seconds: float = 0.0
    _wanted: int = 0
    _reached: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, events: int) -> None:
        """Note events that arrived."""
        self.events += events
        self.last_seconds = time.perf_counter()
        if self.events >= self._wanted:
            self._reached.set()

    async def until(self, events: int) -> None:
        """Return when so many events have arrived. Raises TimeoutError."""
        self._wanted = events
        self._reached.clear()
        if self.events < events:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                await self._reached.wait()


class Listener(asyncio.Protocol):
    """A watcher."""

    def __init__(self, path: str, host: str, tally: Tally) -> None:
        self._tally = tally
        self._request = encode("GET", path, host)
        self._has_head = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the watch."""
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count objects: each event has one newline that follows its closing brace."""
        if not self._has_head:
            self._has_head = True
            data = data.partition(b"\r\n\r\n")[2]
        events = data.count(b"}\n")
        if events:
            self._tally.add(events)


def encode(
    method: str, path: str, host: str, body: dict[str, Any] | None = None, *, media: str = "application/json"
) -> bytes:
    """The bytes of a request."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n"
    if body is not None:
        head += f"Content-Type: {media}\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + content


class Load:
    """Connections to one server as its administrator."""

    def __init__(self, host: str, port: int, pki: Path) -> None:
        self.host, self._port = host, port
        self._context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._context.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    async def connect(self, make: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Open a connection."""
        return await asyncio.get_running_loop().create_connection(make, self.host, self._port, ssl=self._context)

    async def run(self, clients: int, next_request: Callable[[], bytes | None]) -> int:
        """Send requests over so many connections until there are none; returns how many."""
        pairs = [await self.connect(lambda: Caller(next_request)) for _ in range(clients)]
        callers = [caller for _, caller in pairs]
        for caller in callers:
            caller.begin()
        await asyncio.gather(*(caller.done for caller in callers))
        for transport, _ in pairs:
            transport.close()
        return sum(caller.answers for caller in callers)

    async def read_length(self, request: bytes) -> int:
        """Send one request; returns how many bytes its answer's body has."""
        waiting = [request]
        transport, caller = await self.connect(lambda: Caller(lambda: waiting.pop() if waiting else None))
        caller.begin()
        await caller.done
        transport.close()
        return caller.body_bytes

    async def rate(self, clients: int, seconds: float, make_request: Callable[[], bytes | None]) -> float:
        """Requests per second over a while that begins with the first request."""
        begin = 0.0

        def next_request() -> bytes | None:
            nonlocal begin
            now = time.perf_counter()
            begin = begin or now
            return make_request() if now - begin < seconds else None

        answers = await self.run(clients, next_request)
        return answers / (time.perf_counter() - begin)

    async def send(self, *requests: bytes) -> None:
        """Send each of the requests once."""
        waiting = list(requests)
        await self.run(min(8, len(waiting)), lambda: waiting.pop() if waiting else None)

    @asynccontextmanager
    async def watchers(self, count: int, path: str) -> AsyncIterator[Tally]:
        """Open watches; the tally begins after what they show at first."""
        tally = Tally()
        pairs = [await self.connect(lambda: Listener(path, self.host, tally)) for _ in range(count)]
        await asyncio.sleep(0.5)
        tally.events = 0
        try:
            yield tally
        finally:
            for transport, _ in pairs:
                transport.abort()
