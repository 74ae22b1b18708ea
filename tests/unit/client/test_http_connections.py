"""Exchanges on kept-alive connections, against a peer that answers with the bytes it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from control.client.http_connections import HttpConnections
from control.client.kept_connection import KeptConnection, WholeAnswer


class Peer:
    """Answers one request after the other with `answers`, in the pieces given; None closes the connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: list[list[bytes | None]] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await reader.readuntil(b"\r\n\r\n")
        for piece in self.answers.pop(0):
            if piece is None:
                return False
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return True

    async def connect(self, make_protocol: Callable[[], asyncio.BaseProtocol]) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_unix_connection(make_protocol, str(self.path))
        return transport


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    made = Peer(tmp_path / "socket")
    server = await asyncio.start_unix_server(made.serve, made.path)
    yield made
    server.close()


async def ask(connections: HttpConnections, method: str = "GET", *, seconds_max: float = 60.0) -> WholeAnswer:
    return await connections.exchange(method, "/", {"host": "h"}, seconds_max=seconds_max)


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Two: a\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\nX-Early: b\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\n\r\nhello"


@pytest.mark.parametrize(
    ("pieces", "status", "body", "is_kept"),
    [
        pytest.param([LENGTH], 200, b"hello", True, id="a body of a length"),
        pytest.param([LENGTH[i : i + 1] for i in range(len(LENGTH))], 200, b"hello", True, id="byte by byte"),
        pytest.param([CHUNKED], 201, b"hello", True, id="chunks"),
        pytest.param([CHUNKED[:60], CHUNKED[60:]], 201, b"hello", True, id="a chunk in two pieces"),
        pytest.param([EMPTY], 204, b"", True, id="no body"),
        pytest.param([NOT_MODIFIED], 304, b"", True, id="no body, whatever its length"),
        pytest.param([INTERIM + LENGTH], 200, b"hello", True, id="an interim answer before it"),
        pytest.param([INTERIM, INTERIM, LENGTH], 200, b"hello", True, id="several of them"),
        pytest.param([CLOSING], 200, b"hello", False, id="the last of its connection"),
        pytest.param([UNTIL_CLOSED, None], 200, b"hello", False, id="a body until the connection closes"),
    ],
)
async def test_an_answer_is_read_whole_and_its_connection_kept_if_it_may_be(
    peer: Peer, pieces: list[bytes | None], status: int, body: bytes, is_kept: bool
) -> None:
    connections = HttpConnections(peer.connect)
    peer.answers = [pieces, [LENGTH]]

    answer = await ask(connections)
    again = await ask(connections)

    assert (answer.status, answer.body) == (status, body)
    assert "x-early" not in answer.headers
    assert (again.status, again.body) == (200, b"hello")
    assert again.headers == {"content-length": "5", "x-two": "a"}
    assert peer.connections == (1 if is_kept else 2)
    connections.close()


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([None], id="nothing"),
        pytest.param([LENGTH[:20], None], id="half a head"),
        pytest.param([LENGTH[:-2], None], id="a part of the body"),
        pytest.param([CHUNKED[:-5], None], id="chunks without an end"),
        pytest.param([INTERIM, None], id="only an interim answer"),
        pytest.param([b"+OK ready\r\n"], id="another protocol"),
        pytest.param(
            [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n"], id="upgrade"
        ),
    ],
)
async def test_what_is_no_whole_answer_is_an_error_and_ends_the_connection(
    peer: Peer, pieces: list[bytes | None]
) -> None:
    connections = HttpConnections(peer.connect)
    peer.answers = [pieces, [LENGTH]]

    with pytest.raises(ConnectionResetError):
        await ask(connections, "POST")

    assert (await ask(connections)).body == b"hello"
    assert peer.connections == 2
    connections.close()


async def test_a_kept_connection_that_the_server_has_closed_is_replaced_unless_the_request_may_have_happened(
    peer: Peer,
) -> None:
    connections = HttpConnections(peer.connect)
    peer.answers = [[LENGTH], [None], [LENGTH], [None]]
    await ask(connections)

    assert (await ask(connections)).status == 200
    with pytest.raises(ConnectionResetError):
        await ask(connections, "POST")
    assert peer.connections == 2
    connections.close()


async def test_an_answer_that_is_late_is_given_up_with_its_connection_and_not_asked_for_again(peer: Peer) -> None:
    connections = HttpConnections(peer.connect)
    peer.answers = [[LENGTH], [LENGTH[:20]], [LENGTH]]
    await ask(connections)

    with pytest.raises(TimeoutError):
        await ask(connections, seconds_max=0.0)

    assert (await ask(connections)).body == b"hello"
    assert peer.connections == 2
    connections.close()


class OpenTransport(asyncio.Transport):
    """Knows whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def test_what_comes_unasked_ends_the_connection_and_is_not_taken_for_the_next_answer() -> None:
    connection = KeptConnection()
    connection.connection_made(OpenTransport())

    connection.data_received(LENGTH)

    assert connection.is_closing
