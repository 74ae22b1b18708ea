"""A stream as WebSocket messages, read by a client library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import websocket

from control.api.errors import ApiError
from control.apiserver.websocket_stream import is_websocket_request, websocket_response

LONG = b"x" * 70_000


async def chunks() -> AsyncIterator[bytes]:
    yield b"one\n"
    yield LONG


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"more\n"
        await asyncio.sleep(0)


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Server:
    """Answers each connection with a stream."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self.ended = asyncio.Event()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"ws://127.0.0.1:{port}/log"

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head)}
        assert is_websocket_request(headers)
        response = websocket_response(headers, self._stream)
        assert response.take_over is not None
        await response.take_over(Connection(reader, writer))
        self.ended.set()


def read_all(url: str, **options: object) -> tuple[str | None, list[tuple[int, bytes]]]:
    """The subprotocol and every message until the server closes: opcode and payload."""
    connection = websocket.create_connection(url, timeout=60, **options)
    messages = []
    while True:
        opcode, data = connection.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return connection.getsubprotocol(), messages
        messages.append((opcode, bytes(data)))


@pytest.mark.parametrize("subprotocols", [None, ["binary.k8s.io"], ["other", "binary.k8s.io"]])
async def test_a_stream_arrives_whole_after_an_empty_message(subprotocols: list[str] | None) -> None:
    async with Server(chunks()) as url:
        subprotocol, messages = await asyncio.to_thread(read_all, url, subprotocols=subprotocols)
    assert subprotocol == ("binary.k8s.io" if subprotocols else None)
    assert messages[0] == (websocket.ABNF.OPCODE_BINARY, b"")
    assert b"".join(data for _, data in messages) == b"one\n" + LONG


async def test_base64_messages_are_text() -> None:
    async with Server(chunks()) as url:
        _, messages = await asyncio.to_thread(read_all, url, subprotocols=["base64.binary.k8s.io"])
    assert messages[1] == (websocket.ABNF.OPCODE_TEXT, b"b25lCg==")


async def test_a_client_that_closes_ends_the_stream() -> None:
    server = Server(endless())
    async with server as url:
        connection = await asyncio.to_thread(websocket.create_connection, url, timeout=60)
        await asyncio.to_thread(connection.recv)
        await asyncio.to_thread(connection.close)
        async with asyncio.timeout(60):
            await server.ended.wait()


def test_what_cannot_be_answered_is_refused() -> None:
    with pytest.raises(ApiError, match="requested protocol") as caught:
        websocket_response({"sec-websocket-key": "k", "sec-websocket-protocol": "v4.channel.k8s.io"}, chunks())
    assert caught.value.code == 403
    with pytest.raises(ApiError, match="Sec-WebSocket-Key"):
        websocket_response({}, chunks())
    assert not is_websocket_request({"upgrade": "SPDY/3.1", "connection": "Upgrade"})
