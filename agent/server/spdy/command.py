"""Exec and attach over SPDY: one stream each for stdin, stdout, stderr, the outcome and terminal sizes.

v4.channel.k8s.io words the outcome as a Status, older ones as text; v2 and v1 know no terminal sizes.
Upstream: kubelet's cri/streaming/remotecommand.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from agent.runtime.protocol import ExecStream
from agent.server.command_client import STDERR, Status, encode_status, resize
from agent.server.spdy.connection import LINGER_SECONDS, SpdyConnection, SpdyStream
from agent.server.spdy.upgrade import UpgradedSocket, choose_protocol, upgrade
from agent.server.stream_options import StreamOptions

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
_WITHOUT_RESIZE = ("v2.channel.k8s.io", "channel.k8s.io")
STREAM_CREATION_SECONDS = 30.0
SIZE_BYTES_MAX = 4096


class SpdyCommandClient:
    """Implements CommandClient on SPDY streams."""

    def __init__(self, channel: UpgradedSocket, protocol: str, options: StreamOptions) -> None:
        self._channel = channel
        self._protocol = protocol
        wanted = {"error": True, "stdin": options.stdin, "stdout": options.stdout, "stderr": options.stderr}
        wanted["resize"] = options.tty and protocol not in _WITHOUT_RESIZE
        self._expected = {name for name, is_wanted in wanted.items() if is_wanted}
        self._streams: dict[str, SpdyStream] = {}
        self._complete = asyncio.Event()
        self._connection = SpdyConnection(channel, self._take_stream)
        self._serving = asyncio.ensure_future(self._connection.run())

    @classmethod
    async def accept(cls, request: web.Request, options: StreamOptions) -> tuple[SpdyCommandClient, web.StreamResponse]:
        """Upgrade and wait for the client's streams. Raises LookupFailure, ConnectionError."""
        protocol = choose_protocol(request, PROTOCOLS)
        channel, response = await upgrade(request, protocol)
        client = cls(channel, protocol, options)
        try:
            await client._wait_for_streams()
        except BaseException:
            await client.close()
            raise
        return client, response

    def _take_stream(self, stream: SpdyStream) -> bool:
        kind = stream.headers.get("streamtype", "")
        if kind not in self._expected or kind in self._streams:
            return False
        if kind not in ("stdin", "resize"):
            stream.discard()
        self._streams[kind] = stream
        if len(self._streams) == len(self._expected):
            self._complete.set()
        return True

    async def _wait_for_streams(self) -> None:
        complete = asyncio.ensure_future(self._complete.wait())
        try:
            await asyncio.wait(
                {complete, self._serving}, timeout=STREAM_CREATION_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            complete.cancel()
        if not self._complete.is_set():
            raise ConnectionResetError("timed out waiting for client to create streams")

    async def feed(self, command: ExecStream) -> None:
        """Carry the client's input and terminal sizes to the command. Returns when the client has gone."""
        copying = [asyncio.ensure_future(self._copy_stdin(command)), asyncio.ensure_future(self._copy_sizes(command))]
        try:
            await asyncio.wait({self._serving})
        finally:
            for task in copying:
                task.cancel()
            await asyncio.gather(*copying, return_exceptions=True)

    async def _copy_stdin(self, command: ExecStream) -> None:
        stdin = self._streams.get("stdin")
        if stdin is None:
            return
        while content := await stdin.read():
            await command.write(content)
        await command.close_stdin()

    async def _copy_sizes(self, command: ExecStream) -> None:
        sizes = self._streams.get("resize")
        if sizes is None:
            return
        pending = b""
        while content := await sizes.read():
            *lines, pending = (pending + content).split(b"\n")
            for line in lines:
                await resize(command, line)
            pending = pending[-SIZE_BYTES_MAX:]

    async def send(self, channel: int, content: bytes) -> None:
        """Send output at the client's pace. Raises ConnectionError."""
        stream = self._streams.get("stderr" if channel == STDERR else "stdout")
        if stream is not None:
            await stream.write(content)

    async def finish(self, status: Status) -> None:
        """Report the outcome after all output, and give the client time to take it."""
        for name in ("stdout", "stderr"):
            if name in self._streams:
                await self._streams[name].close()
        if payload := encode_status(status, self._protocol):
            await self._streams["error"].write(payload)
        await self._streams["error"].close()
        await self._connection.go_away()
        await asyncio.wait({self._serving}, timeout=LINGER_SECONDS)

    async def close(self) -> None:
        """End the connection as it is."""
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)
        await self._channel.close()
