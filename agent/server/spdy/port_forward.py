"""Port-forward over SPDY: every pair of a data and an error stream becomes a connection to the Pod."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from agent.server.forwarding import ForwardTarget
from agent.server.spdy.byte_channel import ByteChannel
from agent.server.spdy.connection import SpdyConnection, SpdyStream

STREAM_CREATION_SECONDS = 30.0


@dataclass(slots=True)
class _Pair:
    port: int
    streams: dict[str, SpdyStream] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)


class ForwardedPorts:
    """All forwarded connections of one client."""

    def __init__(self, channel: ByteChannel, target: ForwardTarget) -> None:
        self._target = target
        self._connection = SpdyConnection(channel, self._take_stream)
        self._pairs: dict[str, _Pair] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until the client has gone; then nothing of it is left."""
        try:
            await self._connection.run()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take_stream(self, stream: SpdyStream) -> bool:
        kind, port = stream.headers.get("streamtype", ""), stream.headers.get("port", "")
        if kind not in ("data", "error") or not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
            return False
        request_id = _request_id(stream, kind)
        pair = self._pairs.get(request_id)
        if pair is None:
            pair = self._pairs[request_id] = _Pair(int(port))
            task = asyncio.ensure_future(self._serve(request_id, pair))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if kind in pair.streams:
            return False
        pair.streams[kind] = stream
        if kind == "error":
            stream.discard()
        if len(pair.streams) == 2:
            pair.complete.set()
        return True

    async def _serve(self, request_id: str, pair: _Pair) -> None:
        message = ""
        try:
            async with asyncio.timeout(STREAM_CREATION_SECONDS):
                await pair.complete.wait()
        except TimeoutError:
            message = f"(request={request_id}) timed out waiting for streams"
        finally:
            del self._pairs[request_id]
        with contextlib.suppress(ConnectionError):
            if not message:
                message = await self._target.forward(pair.port, pair.streams["data"])
            await _end(pair, message)


async def _end(pair: _Pair, message: str) -> None:
    """Report what went wrong, if anything, and end both streams; the client may still be sending."""
    if "error" in pair.streams:
        if message:
            await pair.streams["error"].write(message.encode())
        await pair.streams["error"].close()
    if "data" in pair.streams:
        pair.streams["data"].discard()
        await pair.streams["data"].close()


def _request_id(stream: SpdyStream, kind: str) -> str:
    """Clients that send no request id open the error stream first, and the data stream with the next id."""
    return stream.headers.get("requestid") or str(stream.id if kind == "error" else stream.id - 2)
