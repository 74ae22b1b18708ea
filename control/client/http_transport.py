"""`HttpTransport`: requests over HTTPS with kept-alive connections, and watches as streams of batches.

Failures of the network, time-outs included, rise as `ServerUnavailableError`; the server's own as `ApiError`. A
request that was refused with Retry-After (429, 503) has not happened and is sent again a few times, as client-go does.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import orjson

from control.api.errors import ApiError
from control.api.exchange import WatchEvent
from control.api.objects import Object
from control.client.transport import Query, ServerUnavailableError

if TYPE_CHECKING:
    import aiohttp

RETRIES_MAX = 5


class HttpTransport:
    """A `Transport` over HTTPS. aiohttp is imported with the first request, which keeps program starts quick."""

    def __init__(
        self,
        base_url: str,
        ssl_context: ssl.SSLContext | None = None,
        token: str | None = None,
        *,
        user_agent: str = "podling",
        request_timeout_seconds: float = 30.0,
        connect_timeout_seconds: float = 5.0,
        server_name: str | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._ssl_context = ssl_context
        self._server_name = server_name
        self._headers = {"accept": "application/json", "user-agent": user_agent}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._request_timeout_seconds = request_timeout_seconds
        self._connect_timeout_seconds = connect_timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    @property
    def base_url(self) -> str:
        """Scheme, host and port of the server."""
        return self._base_url

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: Object | list[Object] | None = None,
    ) -> Object:
        """Send one request and return the decoded answer."""
        sent = dict(self._headers)
        if body is not None:
            sent["content-type"] = "application/json"
        sent.update(headers or {})
        encoded = orjson.dumps(body) if body is not None else None
        for attempt in range(RETRIES_MAX + 1):
            status, answer_headers, answer = await self._exchange(method, path, query, sent, encoded)
            retry_after = _retry_after_seconds(status, answer_headers)
            if retry_after is None or attempt == RETRIES_MAX:
                break
            await asyncio.sleep(retry_after)
        return _decode_answer(status, answer)

    async def watch(self, path: str, *, query: Query = ()) -> AsyncIterator[list[WatchEvent]]:
        """Open a watch; yields what arrived since the last batch. A peer that vanished is noticed by TCP keep-alive."""
        aiohttp = _aiohttp()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_seconds)
        try:
            async with self._open_session().get(
                self._url(path),
                params=list(query),
                headers=self._headers,
                timeout=timeout,
                server_hostname=self._server_name,
            ) as response:
                if response.status >= 400:
                    raise _error_of(response.status, await response.read())
                _keep_alive(response)
                async for batch in _batches(response.content):
                    yield batch
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerUnavailableError(f"cannot watch {self._base_url}{path}: {_cause(error)}") from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(
        self, method: str, path: str, query: Query, headers: Mapping[str, str], encoded: bytes | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        aiohttp = _aiohttp()
        try:
            async with self._open_session().request(
                method,
                self._url(path),
                params=list(query),
                headers=headers,
                data=encoded,
                server_hostname=self._server_name,
            ) as response:
                return response.status, response.headers, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerUnavailableError(f"cannot {method} {self._base_url}{path}: {_cause(error)}") from error

    def _url(self, path: str) -> str:
        return self._base_url + path

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            aiohttp = _aiohttp()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._ssl_context or True, limit=0, keepalive_timeout=60),
                timeout=aiohttp.ClientTimeout(
                    total=self._request_timeout_seconds, sock_connect=self._connect_timeout_seconds
                ),
                auto_decompress=True,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _aiohttp() -> Any:
    import aiohttp  # 100 ms: only programs that talk over sockets pay for it

    return aiohttp


def _decode_answer(status: int, answer: bytes) -> Object:
    if status >= 400:
        raise _error_of(status, answer)
    if not answer:
        return {}
    try:
        return cast(Object, orjson.loads(answer))
    except orjson.JSONDecodeError as error:
        raise ServerUnavailableError(f"the server answered something other than JSON: {error}") from error


def _error_of(status: int, answer: bytes) -> ApiError:
    try:
        decoded = orjson.loads(answer)
    except orjson.JSONDecodeError:
        decoded = None
    if isinstance(decoded, dict) and decoded.get("kind") == "Status":
        return ApiError.from_status(decoded, code=status)
    text = answer[:1024].decode("utf-8", "replace").strip()
    return ApiError(status, "", text or f"the server answered {status} without a body")


def _retry_after_seconds(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds to wait if the server asked for another try, else None."""
    if status not in (429, 503):
        return None
    value = headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _cause(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    """Probe an idle watch connection after 15 s, so that a vanished server ends it within half a minute."""
    transport = response.connection.transport if response.connection else None
    raw = transport.get_extra_info("socket") if transport else None
    if raw is None or not hasattr(socket, "TCP_KEEPIDLE"):
        return
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)):
        raw.setsockopt(socket.IPPROTO_TCP, option, value)


async def _batches(content: aiohttp.StreamReader) -> AsyncIterator[list[WatchEvent]]:
    """Cut a stream of JSON lines into events; everything that is readable at once is one batch."""
    rest = b""
    while chunk := await content.readany():
        lines = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
        rest = lines.pop()
        batch = [_event_of(line) for line in lines if line]
        if batch:
            yield batch


def _event_of(line: bytes) -> WatchEvent:
    decoded = orjson.loads(line)
    if decoded["type"] == "ERROR":
        raise ApiError.from_status(decoded["object"], code=500)
    return WatchEvent(type=decoded["type"], object=decoded["object"])
