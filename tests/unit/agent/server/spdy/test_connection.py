"""The server's end of a SPDY connection, over a pipe in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from agent.server.spdy import connection as connection_module
from agent.server.spdy.connection import UNREAD_BYTES_MAX, SpdyConnection, SpdyStream
from agent.server.spdy.frames import (
    CANCEL,
    GOAWAY_PROTOCOL_ERROR,
    PROTOCOL_ERROR,
    Data,
    GoAway,
    Ping,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)
from tests.unit.agent.server.spdy.client import MemoryChannel, SpdyClient, make_pipe


@dataclass
class Served:
    """A connection under test, its client and the streams it accepted."""

    client: SpdyClient
    streams: list[SpdyStream] = field(default_factory=list)

    def connect(self, channel: MemoryChannel) -> None:
        self.connection = SpdyConnection(channel, self.accept)
        self.running = asyncio.ensure_future(self.connection.run())

    def accept(self, stream: SpdyStream) -> bool:
        if stream.headers.get("streamtype") == "unwanted":
            return False
        self.streams.append(stream)
        return True

    async def open(self) -> SpdyStream:
        assert await self.client.open(streamtype="data")
        return self.streams[-1]


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    server, client = make_pipe(buffered_max=64 * 1024)
    made = Served(SpdyClient(client))
    made.connect(server)
    yield made
    await client.close()
    await made.running


async def test_content_passes_both_ways_until_both_sides_end(served: Served) -> None:
    stream = await served.open()
    await served.client.send(Data(1, b"question", fin=True))
    assert [await stream.read(), await stream.read()] == [b"question", b""]
    await stream.write(b"answer")
    await stream.close()
    await served.client.until(lambda: 1 in served.client.ended)
    assert served.client.received[1] == b"answer"
    assert not stream.was_reset
    with pytest.raises(BrokenPipeError):
        await stream.write(b"more")


async def test_an_unwanted_stream_is_reset(served: Served) -> None:
    assert await served.client.open(streamtype="unwanted") == 0
    assert served.client.frames == [RstStream(1, CANCEL)]


@pytest.mark.parametrize("stream_id", [2, 1], ids=["an id of the server's side", "an id that was used"])
async def test_a_stream_with_an_impossible_id_is_reset(served: Served, stream_id: int) -> None:
    await served.open()
    await served.client.send(SynStream(stream_id, {}))
    await served.client.until(lambda: RstStream(stream_id, PROTOCOL_ERROR) in served.client.frames)
    assert len(served.streams) == 1


async def test_a_reset_ends_reading_and_writing(served: Served) -> None:
    stream = await served.open()
    await served.client.send(Data(1, b"lost"), RstStream(1, CANCEL), Ping(1))
    await served.client.until(lambda: Ping(1) in served.client.frames)
    assert await stream.read() == b""
    assert stream.was_reset
    with pytest.raises(BrokenPipeError):
        await stream.write(b"x")


async def test_pings_are_answered_and_what_means_nothing_is_ignored(served: Served) -> None:
    await served.client.send(
        Settings({4: 100}),
        WindowUpdate(0, 9),
        Data(77, b"nobody's"),
        SynReply(9),
        RstStream(9, CANCEL),
        Ping(2),
        Ping(3),
    )
    await served.client.until(lambda: bool(served.client.frames))
    assert served.client.frames == [Ping(3)], "even ids are the server's own"


async def test_a_lost_client_ends_every_stream(served: Served) -> None:
    stream = await served.open()
    reading = asyncio.ensure_future(stream.read())
    await served.client.channel.close()
    assert await reading == b""
    assert stream.was_reset
    with pytest.raises(ConnectionError):
        await stream.write(b"x")


async def test_garbage_ends_the_connection_with_a_farewell(served: Served) -> None:
    stream = await served.open()
    await served.client.channel.write(b"\x80\x02garbage!")
    await served.client.until(lambda: GoAway(1, GOAWAY_PROTOCOL_ERROR) in served.client.frames)
    assert await stream.read() == b""


async def test_going_away_resets_what_is_open_and_takes_nothing_new(served: Served) -> None:
    stream = await served.open()
    await served.connection.go_away()
    await served.client.send(Data(1, b"late" * 1000), SynStream(3, {}), Ping(1))
    await served.client.until(lambda: Ping(1) in served.client.frames)
    assert served.client.frames == [SynReply(1), RstStream(1, CANCEL), GoAway(1), Ping(1)]
    assert stream.unread_bytes == 0


async def test_a_stream_that_is_not_read_holds_the_client_back(served: Served) -> None:
    stream = await served.open()
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while sent < 4 << 20:
            await served.client.send(Data(1, bytes(16 * 1024), fin=sent + 16 * 1024 == 4 << 20))
            sent += 16 * 1024

    flooding = asyncio.ensure_future(flood())
    for _ in range(2000):
        await asyncio.sleep(0)
    assert not flooding.done()
    assert stream.unread_bytes < UNREAD_BYTES_MAX + 256 * 1024
    read = 0
    while content := await stream.read():
        read += len(content)
    await flooding
    assert read == sent == 4 << 20


async def test_a_stream_that_nobody_reads_any_more_holds_nothing_back(served: Served) -> None:
    stream = await served.open()
    stream.discard()
    for _ in range(256):
        await served.client.send(Data(1, bytes(16 * 1024)))
    await served.client.send(Ping(1))
    await served.client.until(lambda: Ping(1) in served.client.frames)
    assert stream.unread_bytes == 0


async def test_a_client_that_does_not_read_holds_writers_back(served: Served) -> None:
    stream = await served.open()
    written = 0

    async def flood() -> None:
        nonlocal written
        while written < 1 << 20:
            await stream.write(bytes(16 * 1024))
            written += 16 * 1024

    flooding = asyncio.ensure_future(flood())
    for _ in range(2000):
        await asyncio.sleep(0)
    assert written < 128 * 1024
    await served.client.until(lambda: len(served.client.received[1]) == 1 << 20)
    await flooding


async def test_a_client_that_is_held_back_is_pinged(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "HELD_PING_SECONDS", 0.0)
    stream = await served.open()
    await served.client.send(Data(1, bytes(UNREAD_BYTES_MAX + 1)))
    await served.client.until(lambda: any(isinstance(frame, Ping) for frame in served.client.frames))
    assert all(frame.ping_id % 2 == 0 for frame in served.client.frames if isinstance(frame, Ping))
    stream.discard()
