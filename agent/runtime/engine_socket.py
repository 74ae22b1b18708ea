"""Long-lived HTTP exchanges with the Docker Engine on asyncio: events, waits, pulls, hijacked exec and attach sockets.

The SDK cannot serve these: it blocks a thread per stream, and reads ahead, so that the first bytes of a hijacked
socket may be lost in its buffer. Short calls go through the SDK (docker_runtime.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from agent.runtime.protocol import ContainerNotFoundError, EngineUnavailableError, RuntimeFailure

CONNECT_SECONDS_MAX = 10.0
HEADER_SECONDS_MAX = 30.0
LINE_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineResponse:
    """An answered exchange: the header is read, the rest is the caller's to read. Close the writer when done."""

    status: int
    headers: Mapping[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class EngineSocket:
    """Opens one connection per exchange, over a Unix socket or plain TCP."""

    def __init__(self, base_url: str) -> None:
        """`base_url` is as DOCKER_HOST: `unix:///var/run/docker.sock` or `tcp://host:port`."""
        self._address = urlsplit(base_url)
        if self._address.scheme not in ("unix", "tcp", "http"):
            raise EngineUnavailableError(f"cannot use Docker Engine {base_url}: only unix:// and tcp:// are supported")

    async def open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        hijack: bool = False,
        header_timeout: float | None = HEADER_SECONDS_MAX,
    ) -> EngineResponse:
        """Send a request and read the answer's header. A refusal (>= 400) is raised as the seam's error."""
        reader, writer = await self._connect()
        try:
            writer.write(_encode_request(method, path, query, body, headers or {}, hijack))
            await writer.drain()
            async with asyncio.timeout(header_timeout):
                status, received = await _read_header(reader)
                if status >= 400:
                    raise _refusal(status, await _read_body(reader, received))
            return EngineResponse(status=status, headers=received, reader=reader, writer=writer)
        except BaseException as error:
            writer.close()
            if isinstance(error, OSError | asyncio.IncompleteReadError):
                raise EngineUnavailableError(f"cannot reach the Docker Engine: {error}") from error
            raise

    async def fetch(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, timeout_seconds: float | None = None
    ) -> Any:
        """One exchange with a JSON answer that may be long in coming (`wait`)."""
        response = await self.open(method, path, query=query, header_timeout=timeout_seconds)
        try:
            body = await _read_body(response.reader, response.headers)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise EngineUnavailableError(f"cannot reach the Docker Engine: {error}") from error
        finally:
            response.writer.close()
        return json.loads(body) if body.strip() else None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                if self._address.scheme == "unix":
                    return await asyncio.open_unix_connection(self._address.path, limit=LINE_BYTES_MAX)
                host, port = self._address.hostname or "127.0.0.1", self._address.port or 2375
                return await asyncio.open_connection(host, port, limit=LINE_BYTES_MAX)
        except OSError as error:  # TimeoutError is one
            raise EngineUnavailableError(f"cannot reach the Docker Engine: {error}") from error


async def read_json_lines(response: EngineResponse) -> AsyncIterator[Any]:
    """Yield the JSON values of a chunked stream, one per line, until the engine closes it."""
    pending = b""
    async for chunk in _read_chunks(response.reader):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)
    if pending.strip():
        yield json.loads(pending)


def _encode_request(
    method: str,
    path: str,
    query: Mapping[str, str] | None,
    body: Mapping[str, Any] | None,
    headers: Mapping[str, str],
    hijack: bool,
) -> bytes:
    target = f"{path}?{urlencode(query)}" if query else path
    content = json.dumps(body).encode() if body is not None else b""
    lines = [f"{method} {target} HTTP/1.1", "Host: docker", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append("Content-Type: application/json")
    lines += ["Connection: Upgrade", "Upgrade: tcp"] if hijack else ["Connection: close"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def _read_header(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = text.split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if separator:
            headers[name.strip().lower()] = value.strip()
    return int(status_line.split(" ", 2)[1]), headers


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        return b"".join([chunk async for chunk in _read_chunks(reader)])
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read()


async def _read_chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        chunk = await reader.readexactly(size)
        await reader.readexactly(2)
        if not size:
            return
        yield chunk


def _refusal(status: int, body: bytes) -> RuntimeFailure:
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace").strip()
    if status == 404:
        return ContainerNotFoundError(message)
    return RuntimeFailure(message)
