"""HTTP exchanges with the Docker Engine on asyncio: short calls on kept-alive connections, and what may be long-lived
(events, waits, pulls, hijacked exec and attach sockets) on a connection of its own.

The SDK cannot serve the latter: it blocks a thread per stream, and reads ahead, so that the first bytes of a hijacked
socket may be lost in its buffer. The former it serves at 0.6 ms of CPU and two changes of thread a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from agent.runtime.engine_errors import engine_failure
from agent.runtime.protocol import EngineUnavailableError, RuntimeFailure
from control.client.http_connections import HttpAnswer, HttpConnections

CONNECT_SECONDS_MAX = 10.0
HEADER_SECONDS_MAX = 30.0
CALL_SECONDS_MAX = 120.0


class EngineSocket:
    """The engine's API over a Unix socket or plain TCP."""

    def __init__(self, base_url: str) -> None:
        """`base_url` is as DOCKER_HOST: `unix:///var/run/docker.sock` or `tcp://host:port`."""
        self._address = urlsplit(base_url)
        if self._address.scheme not in ("unix", "tcp", "http"):
            raise EngineUnavailableError(f"cannot use Docker Engine {base_url}: only unix:// and tcp:// are supported")
        self._connections = HttpConnections(self._connect)

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        image: bool = False,
    ) -> Any:
        """A short exchange with a JSON answer; `image` says what a 404 is about."""
        try:
            answer = await self._connections.exchange(
                method, _target(path, query), _headers(body), _encode(body), seconds_max=CALL_SECONDS_MAX
            )
        except OSError as error:  # TimeoutError is one
            raise EngineUnavailableError(f"cannot reach the Docker Engine: {error}") from error
        content = answer.body
        if answer.status >= 400:
            raise _refusal(answer.status, content, image=image)
        return orjson.loads(content) if content.strip() else None

    def close(self) -> None:
        """Close idle connections."""
        self._connections.close()

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
    ) -> HttpAnswer:
        """Send a request and read the answer's header. A refusal (>= 400) is raised as the seam's error."""
        sent = {**_headers(body), **(headers or {})}
        sent |= {"connection": "Upgrade", "upgrade": "tcp"} if hijack else {"connection": "close"}
        try:
            async with asyncio.timeout(header_timeout):
                answer = await self._connections.open(method, _target(path, query), sent, _encode(body))
                if answer.status >= 400:
                    with contextlib.closing(answer.writer):
                        raise _refusal(answer.status, await answer.read_body())
        except OSError as error:  # TimeoutError is one
            raise EngineUnavailableError(f"cannot reach the Docker Engine: {error}") from error
        return answer

    async def fetch(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, timeout_seconds: float | None = None
    ) -> Any:
        """One exchange with a JSON answer that may be long in coming (`wait`)."""
        response = await self.open(method, path, query=query, header_timeout=timeout_seconds)
        try:
            body = await response.read_body()
        except OSError as error:
            raise EngineUnavailableError(f"cannot reach the Docker Engine: {error}") from error
        finally:
            response.writer.close()
        return orjson.loads(body) if body.strip() else None

    async def _connect(self, make_protocol: Callable[[], asyncio.BaseProtocol]) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            if self._address.scheme == "unix":
                transport, _ = await loop.create_unix_connection(make_protocol, self._address.path)
            else:
                host, port = self._address.hostname or "127.0.0.1", self._address.port or 2375
                transport, _ = await loop.create_connection(make_protocol, host, port)
            return transport


async def read_json_lines(response: HttpAnswer) -> AsyncIterator[Any]:
    """Yield the JSON values of a chunked stream, one per line, until the engine closes it."""
    pending = b""
    async for chunk in response.chunks():
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield orjson.loads(line)
    if pending.strip():
        yield orjson.loads(pending)


def _target(path: str, query: Mapping[str, str] | None) -> str:
    return f"{quote(path)}?{urlencode(query)}" if query else quote(path)


def _headers(body: Mapping[str, Any] | None) -> dict[str, str]:
    return {"host": "docker"} if body is None else {"host": "docker", "content-type": "application/json"}


def _encode(body: Mapping[str, Any] | None) -> bytes | None:
    if body is None:
        return None
    try:
        return orjson.dumps(body)
    except TypeError:  # a number beyond 64 bits, which is the engine's to refuse
        return json.dumps(body).encode()


def _refusal(status: int, body: bytes, *, image: bool = False) -> RuntimeFailure:
    try:
        message = str(orjson.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace").strip()
    return engine_failure(status, message, image=image)
