"""Exec and attach over WebSocket: v5.channel.k8s.io, v4.channel.k8s.io, channel.k8s.io.

Each message begins with its channel: 0 stdin, 1 stdout, 2 stderr, 3 the outcome, 4 terminal sizes; in v5 also 255,
which closes a channel. Upstream: k8s.io/apimachinery/pkg/util/remotecommand, kubelet's cri/streaming.
"""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from agent.runtime.protocol import ExecStream
from agent.server.command_client import ERROR, RESIZE, STDERR, STDIN, STDOUT, Status, encode_status, resize
from agent.server.stream_options import StreamOptions
from agent.server.websocket_upgrade import accept_websocket

CLOSE = 255
HELD_PING_SECONDS = 15.0
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io")


class WebSocketCommandClient:
    """Implements CommandClient on messages."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._protocol = socket.ws_protocol or ""

    @classmethod
    async def accept(
        cls, request: web.Request, options: StreamOptions
    ) -> tuple[WebSocketCommandClient, web.StreamResponse]:
        """Upgrade; an empty message on a writable channel tells the client that the stream stands."""
        socket = await accept_websocket(request, PROTOCOLS)
        channel = STDOUT if options.stdout else STDERR if options.stderr else ERROR
        await socket.send_bytes(bytes([channel]))
        return cls(socket), socket

    async def feed(self, command: ExecStream) -> None:
        """Carry the client's input and terminal sizes to the command. Returns when the client has gone."""
        async for message in self._socket:
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                continue
            content = message.data.encode() if isinstance(message.data, str) else message.data
            if not content:
                continue
            channel, payload = content[0], content[1:]
            if channel == STDIN and payload:
                await self._write(command, payload)
            elif channel == RESIZE:
                await resize(command, payload)
            elif channel == CLOSE and payload[:1] == bytes([STDIN]):
                await command.close_stdin()

    async def _write(self, command: ExecStream, payload: bytes) -> None:
        """Give the command input. A client that is not read meanwhile is pinged, or its end would go unnoticed."""
        writing = asyncio.ensure_future(command.write(payload))
        try:
            while not (await asyncio.wait({writing}, timeout=HELD_PING_SECONDS))[0]:
                await self._socket.ping()
        finally:
            writing.cancel()

    async def send(self, channel: int, content: bytes) -> None:
        """Send output at the client's pace. Raises ConnectionError."""
        await self._socket.send_bytes(bytes([channel]) + content)

    async def finish(self, status: Status) -> None:
        """Report the outcome and end the connection."""
        if payload := encode_status(status, self._protocol):
            await self._socket.send_bytes(bytes([ERROR]) + payload)
        await self._socket.close()

    async def close(self) -> None:
        """End the connection as it is."""
        await self._socket.close()
