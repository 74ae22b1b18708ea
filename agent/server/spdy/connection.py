"""The server's end of a SPDY/3.1 connection: streams that the client opens.

Kubernetes' clients (moby/spdystream) neither send nor obey WINDOW_UPDATE, so the pace is that of the connection
below: a stream whose content is not read stops the reading of the whole connection, and every write waits for room.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping

from agent.server.spdy.byte_channel import ByteChannel
from agent.server.spdy.frames import (
    CANCEL,
    GOAWAY_OK,
    GOAWAY_PROTOCOL_ERROR,
    PROTOCOL_ERROR,
    Data,
    Frame,
    FrameFormatter,
    FrameParser,
    GoAway,
    Ping,
    RstStream,
    SpdyError,
    SynReply,
    SynStream,
)

#: Unread content of one stream above which the connection is not read.
UNREAD_BYTES_MAX = 256 * 1024
#: A connection that is not read does not notice that its client has gone: a ping then and again finds out.
HELD_PING_SECONDS = 15.0
#: How long a client may take to end the connection after it was told to.
LINGER_SECONDS = 2.0


class SpdyStream:
    """One stream. `was_reset` tells an abandoned stream from one that came to its end."""

    def __init__(self, connection: SpdyConnection, stream_id: int, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self.id = stream_id
        self.headers = headers
        self.was_reset = False
        self.unread_bytes = 0
        self._unread: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._remote_ended = self._local_ended = self._drops = False

    @property
    def is_finished(self) -> bool:
        """True when neither side sends any more."""
        return self._remote_ended and self._local_ended

    async def read(self) -> bytes:
        """The next content; empty when the client has ended or reset the stream, or is gone."""
        while not self._unread:
            if self._remote_ended:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        content = self._unread.popleft()
        self.unread_bytes -= len(content)
        self._connection.on_read()
        return content

    async def write(self, content: bytes) -> None:
        """Send content. Raises ConnectionError if the client has reset the stream or is gone."""
        if self._local_ended:
            raise BrokenPipeError(f"stream {self.id} is closed")
        await self._connection.send(Data(self.id, content))

    async def close(self) -> None:
        """Send no more. What the client sends is still to be read, or to be dropped with `discard`."""
        if not self._local_ended:
            self._local_ended = True
            self._connection.on_finish(self)
            await self._connection.send(Data(self.id, b"", fin=True))

    def discard(self) -> None:
        """Drop what the client has sent and will send: nobody reads this stream (any more)."""
        self._drops = True
        self._unread.clear()
        self.unread_bytes = 0
        self._connection.on_read()

    async def reset(self, status: int = CANCEL) -> None:
        """End both directions at once."""
        if not self.is_finished:
            self.abandon()
            self._connection.on_finish(self)
            await self._connection.send(RstStream(self.id, status))

    def receive(self, content: bytes, *, fin: bool) -> None:
        """Take what the client sent."""
        if self._remote_ended:
            return
        if content and not self._drops:
            self._unread.append(content)
            self.unread_bytes += len(content)
        self._remote_ended = fin
        self._arrived.set()

    def abandon(self) -> None:
        """The stream is no more, in either direction; unread content is dropped."""
        self.was_reset = True
        self._remote_ended = self._local_ended = True
        self._arrived.set()
        self.discard()


class SpdyConnection:
    """Reads frames, keeps the streams. `accept` judges a stream that the client opens: False resets it."""

    def __init__(self, channel: ByteChannel, accept: Callable[[SpdyStream], bool]) -> None:
        self._channel = channel
        self._accept = accept
        self._parser, self._formatter = FrameParser(), FrameFormatter()
        self._streams: dict[int, SpdyStream] = {}
        self._last_stream_id = 0
        self._last_ping_id = 0
        self._has_room = asyncio.Event()
        self._is_closing = self._is_lost = False

    async def run(self) -> None:
        """Serve until the client has gone or has broken the protocol. Every stream has ended then."""
        try:
            while content := await self._channel.read():
                for frame in self._parser.feed(content):
                    await self._take(frame)
                await self._wait_for_room()
        except SpdyError:
            with contextlib.suppress(ConnectionError):
                await self.send(GoAway(self._last_stream_id, GOAWAY_PROTOCOL_ERROR))
        except ConnectionError:
            pass
        finally:
            self._is_lost = True
            for stream in list(self._streams.values()):
                stream.abandon()
            self._streams.clear()

    async def send(self, frame: Frame) -> None:
        """Send one frame. Raises ConnectionError."""
        if self._is_lost:
            raise ConnectionResetError("the client has gone")
        await self._channel.write(self._formatter.format(frame))

    async def go_away(self) -> None:
        """Tell the client that all is done: streams that are still open are reset.

        `run` goes on until the client has gone: a socket closed with unread input would destroy the output before it.
        """
        self._is_closing = True
        with contextlib.suppress(ConnectionError):
            for stream in list(self._streams.values()):
                await stream.reset()
            await self.send(GoAway(self._last_stream_id, GOAWAY_OK))

    def on_read(self) -> None:
        """A stream has room again."""
        self._has_room.set()

    def on_finish(self, stream: SpdyStream) -> None:
        """Forget a stream that has ended both ways."""
        if stream.is_finished:
            self._streams.pop(stream.id, None)

    async def _take(self, frame: Frame) -> None:
        match frame:
            case SynStream():
                await self._open(frame)
            case Data():
                stream = self._streams.get(frame.stream_id)
                if stream is not None:
                    stream.receive(frame.content, fin=frame.fin)
                    self.on_finish(stream)
            case RstStream():
                reset = self._streams.pop(frame.stream_id, None)
                if reset is not None:
                    reset.abandon()
            case Ping() if frame.ping_id % 2 == 1:
                await self.send(frame)
            case _:
                pass  # Replies to nothing we asked, settings and windows: the clients give them no meaning.

    async def _open(self, frame: SynStream) -> None:
        if frame.stream_id % 2 == 0 or frame.stream_id <= self._last_stream_id:
            await self.send(RstStream(frame.stream_id, PROTOCOL_ERROR))
            return
        self._last_stream_id = frame.stream_id
        if self._is_closing:
            return
        stream = SpdyStream(self, frame.stream_id, frame.headers)
        self._streams[stream.id] = stream
        if frame.fin:
            stream.receive(b"", fin=True)
        # Nobody writes to the stream before its reply: `accept` may start tasks, but they run after this one yields.
        if not self._accept(stream):
            await stream.reset()
            return
        await self.send(SynReply(stream.id))

    def _is_congested(self) -> bool:
        return any(stream.unread_bytes > UNREAD_BYTES_MAX for stream in self._streams.values())

    async def _wait_for_room(self) -> None:
        while self._is_congested() and not self._is_closing:
            self._has_room.clear()
            try:
                async with asyncio.timeout(HELD_PING_SECONDS):
                    await self._has_room.wait()
            except TimeoutError:
                self._last_ping_id += 2
                await self.send(Ping(self._last_ping_id))
