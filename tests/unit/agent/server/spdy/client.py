"""A SPDY client for tests: frames out, frames in, over any pair of asyncio streams or an in-memory pipe."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from agent.server.spdy.byte_channel import ByteChannel
from agent.server.spdy.frames import (
    Data,
    Frame,
    FrameFormatter,
    FrameParser,
    RstStream,
    SynReply,
    SynStream,
)


class MemoryChannel:
    """One end of a pipe: a ByteChannel. `buffered_max` bounds what the peer has not read; then writers wait."""

    def __init__(self, buffered_max: int = 1 << 20) -> None:
        self.peer: MemoryChannel = self
        self.is_closed = False
        self._buffered_max = buffered_max
        self._chunks: list[bytes] = []
        self._changed = asyncio.Condition()

    @property
    def waiting_bytes(self) -> int:
        """What was written to this end and not read from it."""
        return sum(map(len, self._chunks))

    async def read(self) -> bytes:
        async with self._changed:
            await self._changed.wait_for(lambda: self._chunks or self.is_closed)
            content, self._chunks = b"".join(self._chunks), []
            self._changed.notify_all()
            return content

    async def write(self, content: bytes) -> None:
        await self.peer.take(content)

    async def take(self, content: bytes) -> None:
        async with self._changed:
            if self.is_closed:
                raise ConnectionResetError("closed")
            self._chunks.append(content)
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self.is_closed or self.waiting_bytes < self._buffered_max)

    async def close(self) -> None:
        for end in (self, self.peer):
            async with end._changed:
                end.is_closed = True
                end._changed.notify_all()


def make_pipe(buffered_max: int = 1 << 20) -> tuple[MemoryChannel, MemoryChannel]:
    """Two connected ends."""
    left, right = MemoryChannel(buffered_max), MemoryChannel(buffered_max)
    left.peer, right.peer = right, left
    return left, right


class StreamEnds:
    """Adapts asyncio's reader and writer to a ByteChannel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        return await self._reader.read(65536)

    async def write(self, content: bytes) -> None:
        self._writer.write(content)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()


class SpdyClient:
    """Opens streams and collects what comes back. Reads only while something is awaited."""

    def __init__(self, channel: ByteChannel) -> None:
        self.channel = channel
        self._formatter, self._parser = FrameFormatter(), FrameParser()
        self._next_id = 1
        self.frames: list[Frame] = []
        self.received: dict[int, bytes] = defaultdict(bytes)
        self.ended: set[int] = set()
        self.is_over = False

    async def send(self, *frames: Frame) -> None:
        for frame in frames:
            await self.channel.write(self._formatter.format(frame))

    async def open(self, **headers: str) -> int:
        """Open a stream and wait for the answer: its id, or 0 if it was refused."""
        stream_id = self._next_id
        self._next_id += 2
        await self.send(SynStream(stream_id, headers))
        await self.until(lambda: any(
            isinstance(frame, SynReply | RstStream) and frame.stream_id == stream_id for frame in self.frames
        ))  # fmt: skip
        return stream_id if SynReply(stream_id) in self.frames else 0

    async def until(self, condition: Callable[[], bool]) -> None:
        """Read until the condition holds. Raises EOFError if the server ends the connection before."""
        while not condition():
            if not await self._read():
                raise EOFError(self.frames)

    async def until_over(self) -> None:
        """Read until the server has ended the connection."""
        while await self._read():
            pass

    async def _read(self) -> bool:
        content = await self.channel.read()
        for frame in self._parser.feed(content):
            self.frames.append(frame)
            if isinstance(frame, Data):
                self.received[frame.stream_id] += frame.content
                if frame.fin:
                    self.ended.add(frame.stream_id)
        self.is_over = not content
        return not self.is_over
