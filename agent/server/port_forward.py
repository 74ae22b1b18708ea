"""Port-forward: connections of a client to ports on the Pod's loopback.

Over SPDY, plain or tunnelled through WebSocket (`SPDY/3.1+portforward.k8s.io`), every connection is a pair of streams,
data and error, that carry the same request id. Over v4.channel.k8s.io there is one connection per port of the query.
Upstream: kubelet's cri/streaming/portforward.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from aiohttp import WSMsgType, web

from agent.network.protocol import PodDialer
from agent.server.forwarding import ForwardTarget
from agent.server.pod_lookup import LookupFailure, PodLookup
from agent.server.spdy.byte_channel import ByteChannel
from agent.server.spdy.port_forward import ForwardedPorts
from agent.server.spdy.upgrade import SPDY, choose_protocol, upgrade
from agent.server.websocket_forward import PROTOCOLS as CHANNEL_PROTOCOLS
from agent.server.websocket_forward import forward_channels
from agent.server.websocket_upgrade import accept_websocket, is_websocket, offered_protocols

PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = f"{SPDY}+{PROTOCOL}"


class PortForward:
    """The handler of /portForward."""

    def __init__(self, lookup: PodLookup, dialer: PodDialer) -> None:
        self._lookup = lookup
        self._dialer = dialer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until it leaves."""
        names = request.match_info
        pod, sandbox = self._lookup.find_sandbox(names["namespace"], names["pod"], uid=names.get("uid", ""))
        target = ForwardTarget(
            dialer=self._dialer,
            sandbox_id=sandbox.id,
            sandbox_pid=sandbox.pid,
            host_network=bool(pod["spec"].get("hostNetwork")),
            is_running=lambda: self._lookup.is_running(sandbox.id),
        )
        if not is_websocket(request):
            protocol = choose_protocol(request, (PROTOCOL,))
            channel, response = await upgrade(request, protocol)
            await _serve(channel, target)
            return response
        if TUNNEL_PROTOCOL in offered_protocols(request):
            socket = await accept_websocket(request, (TUNNEL_PROTOCOL,))
            await _serve(WebSocketTunnel(socket), target)
            return socket
        ports = parse_ports(request.query.getall("port", []))
        socket = await accept_websocket(request, (TUNNEL_PROTOCOL, *CHANNEL_PROTOCOLS))
        await forward_channels(socket, target, ports)
        return socket


async def _serve(channel: ByteChannel, target: ForwardTarget) -> None:
    try:
        await ForwardedPorts(channel, target).run()
    finally:
        await channel.close()


def parse_ports(values: Sequence[str]) -> list[int]:
    """The ports of the query. Raises LookupFailure in the kubelet's words."""
    if not values:
        raise LookupFailure(400, 'query parameter "port" is required')
    return [_parse_port(item, value) for value in values for item in value.split(",")]


def _parse_port(item: str, value: str) -> int:
    if not value:
        raise LookupFailure(400, 'query parameter "port" cannot be empty')
    if not (item.isascii() and item.isdigit()):
        raise LookupFailure(
            400, f'unable to parse "{value}" as a port: strconv.ParseUint: parsing "{item}": invalid syntax'
        )
    if int(item) > 65535:
        raise LookupFailure(
            400, f'unable to parse "{value}" as a port: strconv.ParseUint: parsing "{item}": value out of range'
        )
    if int(item) < 1:
        raise LookupFailure(400, f'port "{value}" must be > 0')
    return int(item)


class WebSocketTunnel:
    """A ByteChannel in the binary messages of a WebSocket, however they are cut."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """What came next; empty at the end."""
        while True:
            message = await self._socket.receive()
            if message.type is not WSMsgType.BINARY:
                return b""
            if message.data:
                return bytes(message.data)

    async def write(self, content: bytes) -> None:
        """Send; returns when there is room again. Raises ConnectionError."""
        await self._socket.send_bytes(content)

    async def close(self) -> None:
        """End both directions."""
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
            await self._socket.close()
