"""Port-forward over v4.channel.k8s.io, as client libraries speak it: two channels per port of the query.

Channel 2n is the data of the n-th port, 2n+1 its error text; the first message on each is the port, two bytes, low
byte first. Upstream: kubelet's cri/streaming/portforward/websocket.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Sequence

from aiohttp import WSMsgType, web

from agent.server.forwarding import ForwardTarget

PROTOCOLS = ("v4.channel.k8s.io",)
UNREAD_MESSAGES_MAX = 16


class _Channel:
    """The data of one port: a ForwardStream."""

    def __init__(self, socket: web.WebSocketResponse, number: int, port: int) -> None:
        self._socket = socket
        self._number = number
        self._port = port
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue(UNREAD_MESSAGES_MAX)
        self.was_reset = False
        self.is_done = False

    async def read(self) -> bytes:
        """What the client sent next; channels cannot be closed one by one."""
        return await self.arrived.get()

    async def write(self, content: bytes) -> None:
        """Send to the client at its pace. Raises ConnectionError."""
        await self._socket.send_bytes(bytes([self._number]) + content)

    async def forward(self, target: ForwardTarget) -> None:
        """Connect to the Pod; at the end the reason goes to the error channel."""
        error = bytes([self._number + 1])
        with contextlib.suppress(ConnectionError):
            await self.write(struct.pack("<H", self._port))
            await self._socket.send_bytes(error + struct.pack("<H", self._port))
            if message := await target.forward(self._port, self):
                await self._socket.send_bytes(error + message.encode())
        self.is_done = True
        while not self.arrived.empty():
            self.arrived.get_nowait()  # whoever waits to put more may go on


async def forward_channels(socket: web.WebSocketResponse, target: ForwardTarget, ports: Sequence[int]) -> None:
    """Serve until the client has gone or every connection has ended."""
    channels = [_Channel(socket, 2 * index, port) for index, port in enumerate(ports)]
    reading = asyncio.ensure_future(_distribute(socket, channels))
    forwarding = asyncio.ensure_future(_forward_all(target, channels))
    try:
        await asyncio.wait({reading, forwarding}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (reading, forwarding):
            task.cancel()
        await asyncio.gather(reading, forwarding, return_exceptions=True)
        with contextlib.suppress(ConnectionError):
            await socket.close()


async def _forward_all(target: ForwardTarget, channels: Sequence[_Channel]) -> None:
    await asyncio.gather(*(channel.forward(target) for channel in channels))


async def _distribute(socket: web.WebSocketResponse, channels: Sequence[_Channel]) -> None:
    """Client to channels. A channel that is not read holds all of them back, and the client."""
    async for message in socket:
        if message.type is not WSMsgType.BINARY or len(message.data) < 2 or message.data[0] % 2:
            continue
        index = message.data[0] // 2
        if index < len(channels) and not channels[index].is_done:
            await channels[index].arrived.put(message.data[1:])
