"""A small HTTP/1.1 GET for probes and hooks: no pool, no verification, redirects on the same host, a deadline.

Errors are worded as Go's net/http words them, because they end up in Events that people and tools know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    import ssl

BODY_BYTES_MAX = 10 * 1024
REDIRECTS_MAX = 10
#: by what the request is made for
PROBE_USER_AGENT, LIFECYCLE_USER_AGENT = "kube-probe/1.36", "kube-lifecycle/1.36"
# What OpenSSL calls an HTTP answer to its greeting.
PLAIN_HTTP_REASONS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")


class HttpGetError(Exception):
    """No answer; the message is Go's. `is_plain_http`: an https request met a server that speaks plain HTTP."""

    def __init__(self, message: str, *, is_plain_http: bool = False) -> None:
        super().__init__(message)
        self.is_plain_http = is_plain_http


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """Status code and the first 10 KiB of the body. `left_host` says that a redirect to another host was not taken."""

    status: int
    body: str
    left_host: bool = False


async def http_get(
    url: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    user_agent: str = PROBE_USER_AGENT,
    timeout_seconds: float,
) -> HttpAnswer:
    """GET a URL. Raises HttpGetError."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _follow(url, _with_defaults(headers, user_agent))
    except TimeoutError:
        message = f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        raise HttpGetError(message) from None
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        is_plain_http = getattr(error, "reason", "") in PLAIN_HTTP_REASONS
        cause = "http: server gave HTTP response to HTTPS client" if is_plain_http else describe_failure(url, error)
        raise HttpGetError(f'Get "{url}": {cause}', is_plain_http=is_plain_http) from error


def describe_failure(url: str, error: Exception) -> str:
    """A connection failure in Go's words."""
    parts = urlsplit(url)
    target = f"{parts.hostname}:{parts.port or _default_port(parts.scheme)}"
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {target}: connect: connection refused"
    if isinstance(error, ConnectionResetError):
        return f"read tcp {target}: read: connection reset by peer"
    if isinstance(error, asyncio.IncompleteReadError):
        return "EOF"
    if isinstance(error, OSError):
        return f"dial tcp {target}: connect: {(error.strerror or str(error)).lower()}"
    return str(error)


async def _follow(url: str, headers: Sequence[tuple[str, str]]) -> HttpAnswer:
    host = urlsplit(url).hostname
    for _ in range(REDIRECTS_MAX):
        status, answer_headers, body = await _exchange(url, headers)
        location = answer_headers.get("location")
        if status not in (301, 302, 303, 307, 308) or not location:
            return HttpAnswer(status=status, body=body)
        url = urljoin(url, location)
        if urlsplit(url).hostname != host:
            return HttpAnswer(status=status, body=body, left_host=True)
    raise ValueError(f"stopped after {REDIRECTS_MAX} redirects")


async def _exchange(url: str, headers: Sequence[tuple[str, str]]) -> tuple[int, Mapping[str, str], str]:
    parts = urlsplit(url)
    port = parts.port or _default_port(parts.scheme)
    reader, writer = await asyncio.open_connection(
        parts.hostname, port, ssl=_unverified() if parts.scheme == "https" else None
    )
    try:
        writer.write(_request(parts.hostname or "", port, parts.path or "/", parts.query, headers))
        await writer.drain()
        status_line = (await reader.readuntil(b"\n")).decode("latin-1").split(maxsplit=2)
        if len(status_line) < 2 or not status_line[0].startswith("HTTP/") or not status_line[1].isdigit():
            raise ValueError("malformed HTTP response")
        answer_headers: dict[str, str] = {}
        while line := (await reader.readuntil(b"\n")).decode("latin-1").strip():
            name, _, value = line.partition(":")
            answer_headers[name.strip().lower()] = value.strip()
        body = await _read_body(reader, answer_headers)
        return int(status_line[1]), answer_headers, body
    finally:
        writer.close()


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> str:
    length = int(headers.get("content-length", BODY_BYTES_MAX))
    limit = min(length, BODY_BYTES_MAX)
    body = b""
    while len(body) < limit and (chunk := await reader.read(limit - len(body))):
        body += chunk
    return body.decode("utf-8", "replace")


def _with_defaults(headers: Sequence[tuple[str, str]], user_agent: str) -> list[tuple[str, str]]:
    """The headers with those that are sent unless they are given; given without a value they are not sent at all."""
    given = {name.lower() for name, _ in headers}
    defaults = [("User-Agent", user_agent), ("Accept", "*/*")]
    sent = [(name, value) for name, value in headers if value or name.lower() not in ("accept", "user-agent")]
    return sent + [(name, value) for name, value in defaults if name.lower() not in given]


def _request(host: str, port: int, path: str, query: str, headers: Sequence[tuple[str, str]]) -> bytes:
    fields = [*headers, ("Connection", "close")]
    if not any(name.lower() == "host" for name, _ in headers):
        fields.insert(0, ("Host", f"{host}:{port}"))
    target = f"{path}?{query}" if query else path
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _unverified() -> ssl.SSLContext:
    import ssl  # only https probes need it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
