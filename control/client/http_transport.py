"""`HttpTransport`: requests over HTTPS with kept-alive connections, and watches as streams of batches.

Failures of the network, time-outs included, rise as `ServerUnavailableError`; the server's own as `ApiError`. A
request that was refused with Retry-After (429, 503) has not happened and is sent again a few times, as client-go does;
one whose token was refused (401) is sent again with a new token where there may be one.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from copy import copy
from typing import cast
from urllib.parse import quote, urlencode, urlsplit

import orjson

from control.api.errors import ApiError
from control.api.exchange import WatchEvent
from control.api.objects import Object
from control.client.bearer_token import FixedToken, TokenSource
from control.client.http_connections import HttpAnswer, HttpConnections
from control.client.kept_connection import WholeAnswer
from control.client.transport import Query, ServerUnavailableError

RETRIES_MAX = 5


class HttpTransport:
    """A `Transport` over HTTPS."""

    def __init__(
        self,
        base_url: str,
        ssl_context: ssl.SSLContext | None = None,
        token: str | TokenSource | None = None,
        *,
        user_agent: str = "podling",
        request_timeout_seconds: float = 30.0,
        connect_timeout_seconds: float = 5.0,
        server_name: str | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._ssl_context = ssl_context
        self._server_name = server_name
        self._address = urlsplit(self._base_url)
        self._headers = {"host": self._address.netloc, "accept": "application/json", "user-agent": user_agent}
        self._tokens = FixedToken(token) if isinstance(token, str) and token else token or None
        self._request_timeout_seconds = request_timeout_seconds
        self._connect_timeout_seconds = connect_timeout_seconds
        self._connections = HttpConnections(self._connect)

    @property
    def base_url(self) -> str:
        """Scheme, host and port of the server."""
        return self._base_url

    def with_tokens(self, tokens: TokenSource) -> HttpTransport:
        """The same server for somebody else, over the same connections: they must carry no identity themselves."""
        other = copy(self)
        other._tokens = tokens
        return other

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
        token = await self._authorize(sent)
        has_new_token = False
        for attempt in range(RETRIES_MAX + 1):
            answer = await self._exchange(method, path, query, sent, encoded)
            if answer.status == 401 and self._may_renew(token) and not has_new_token:
                has_new_token = True
                token = await self._authorize(sent)
                continue
            retry_after = _retry_after_seconds(answer)
            if retry_after is None or attempt == RETRIES_MAX:
                break
            await asyncio.sleep(retry_after)
        return _decode_answer(answer.status, answer.body)

    async def watch(self, path: str, *, query: Query = ()) -> AsyncIterator[list[WatchEvent]]:
        """Open a watch; yields what arrived since the last batch. A peer that vanished is noticed by TCP keep-alive."""
        headers = dict(self._headers)
        token = await self._authorize(headers)
        try:
            async with asyncio.timeout(self._request_timeout_seconds):
                answer = await self._connections.open("GET", self._target(path, query), headers)
            try:
                if answer.status == 401:
                    self._may_renew(token)
                if answer.status >= 400:
                    raise _error_of(answer.status, await answer.read_body())
                _keep_alive(answer)
                async for batch in _batches(answer):
                    yield batch
            finally:
                answer.writer.close()
        except OSError as error:  # TimeoutError is one
            raise ServerUnavailableError(f"cannot watch {self._base_url}{path}: {_cause(error)}") from error

    async def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    async def _authorize(self, headers: dict[str, str]) -> str:
        """Put the token into the headers; returns it, empty if this transport has none."""
        if self._tokens is None:
            return ""
        token = await self._tokens.get()
        headers["authorization"] = f"Bearer {token}"
        return token

    def _may_renew(self, token: str) -> bool:
        return self._tokens is not None and self._tokens.reject(token)

    async def _exchange(
        self, method: str, path: str, query: Query, headers: Mapping[str, str], encoded: bytes | None
    ) -> WholeAnswer:
        target = self._target(path, query)
        try:
            return await self._connections.exchange(
                method, target, headers, encoded, seconds_max=self._request_timeout_seconds
            )
        except OSError as error:  # TimeoutError is one
            raise ServerUnavailableError(f"cannot {method} {self._base_url}{path}: {_cause(error)}") from error

    def _target(self, path: str, query: Query) -> str:
        target = quote(self._address.path + path, safe="/%:@!$&'()*+,;=~")
        return f"{target}?{urlencode(query)}" if query else target

    async def _connect(self, make_protocol: Callable[[], asyncio.BaseProtocol]) -> asyncio.Transport:
        is_tls = self._address.scheme == "https"
        async with asyncio.timeout(self._connect_timeout_seconds):
            transport, _ = await asyncio.get_running_loop().create_connection(
                make_protocol,
                self._address.hostname or "",
                self._address.port or (443 if is_tls else 80),
                ssl=(self._ssl_context or True) if is_tls else None,
                server_hostname=self._server_name if is_tls else None,
            )
            return transport


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


def _retry_after_seconds(answer: WholeAnswer) -> float | None:
    """Seconds to wait if the server asked for another try, else None."""
    if answer.status not in (429, 503):
        return None
    value = answer.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None


def _cause(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _keep_alive(answer: HttpAnswer) -> None:
    """Probe an idle watch connection after 15 s, so that a vanished server ends it within half a minute."""
    raw = answer.writer.get_extra_info("socket")
    if raw is None or not hasattr(socket, "TCP_KEEPIDLE"):
        return
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)):
        raw.setsockopt(socket.IPPROTO_TCP, option, value)


async def _batches(answer: HttpAnswer) -> AsyncIterator[list[WatchEvent]]:
    """Cut a stream of JSON lines into events; what the server sent at once is one batch."""
    rest = b""
    async for chunk in answer.chunks():
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
