"""From an HTTP request to a SPDY/3.1 connection: the negotiation, and the socket that HTTP leaves behind.

Upstream: k8s.io/apimachinery/pkg/util/httpstream. Refusals have its words and statuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web

from agent.runtime.socket_close import close_socket
from agent.server.pod_lookup import LookupFailure

SPDY = "SPDY/3.1"
PROTOCOL_HEADER = "X-Stream-Protocol-Version"
ACCEPTED_HEADER = "X-Accepted-Stream-Protocol-Versions"
READ_BYTES_MAX = 64 * 1024


def choose_protocol(request: web.Request, accepted: Sequence[str]) -> str:
    """The first protocol of the client's list that we speak. Raises LookupFailure."""
    connection, upgrade = request.headers.get("Connection", ""), request.headers.get("Upgrade", "")
    values = request.headers.getall(PROTOCOL_HEADER, [])
    offered = [item.strip() for value in values for item in value.split(",") if item.strip()]
    if not offered:
        raise LookupFailure(400, f"unable to upgrade: {PROTOCOL_HEADER} is required")
    protocol = next((item for item in offered if item in accepted), None)
    if protocol is None:
        raise _unknown_protocol(offered, accepted)
    if "upgrade" not in connection.lower() or SPDY.lower() not in upgrade.lower():
        raise LookupFailure(400, f"unable to upgrade: missing upgrade headers in request: {dict(request.headers)}")
    return protocol


def _unknown_protocol(offered: Sequence[str], accepted: Sequence[str]) -> LookupFailure:
    lists = f"client supports [{' '.join(offered)}], server accepts [{' '.join(accepted)}]"
    headers = [(ACCEPTED_HEADER, protocol) for protocol in accepted]
    return LookupFailure(403, f"unable to upgrade: unable to negotiate protocol: {lists}", headers)


async def upgrade(request: web.Request, protocol: str) -> tuple[UpgradedSocket, web.StreamResponse]:
    """Switch protocols. The response has been sent; it is the handler's to return in the end."""
    headers = {"Connection": "Upgrade", "Upgrade": SPDY, PROTOCOL_HEADER: protocol}
    response = web.StreamResponse(status=101, headers=headers)
    response.force_close()
    channel = UpgradedSocket(request)
    await response.prepare(request)
    return channel, response


class UpgradedSocket:
    """The bytes of a connection that has left HTTP: a ByteChannel. aiohttp still owns the socket and its end."""

    def __init__(self, request: web.Request) -> None:
        transport, protocol = request.transport, request.protocol
        if transport is None:
            raise ConnectionResetError("the client has gone")
        loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader(limit=READ_BYTES_MAX, loop=loop)
        self._reader.set_transport(transport)
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)
        protocol.set_parser(_Feeder(self._reader))  # type: ignore[arg-type]  # aiohttp asks for these two methods

    async def read(self) -> bytes:
        """What came next; empty at the end."""
        return await self._reader.read(READ_BYTES_MAX)

    async def write(self, content: bytes) -> None:
        """Send; returns when there is room again. Raises ConnectionError."""
        self._writer.write(content)
        await self._writer.drain()

    async def close(self) -> None:
        """End both directions; what was written is still sent, if the client takes it."""
        close_socket(self._writer)


class _Feeder:
    """What aiohttp calls a parser of the bytes after an upgrade."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def feed_data(self, content: bytes) -> tuple[bool, bytes]:
        self._reader.feed_data(content)
        return False, b""

    def feed_eof(self) -> None:
        self._reader.feed_eof()
