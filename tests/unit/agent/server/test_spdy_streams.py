"""Exec, attach and port-forward over SPDY/3.1, and port-forward in WebSocket, against a served node."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from agent.runtime.fake_runtime import ExecOutcome
from agent.server.spdy.frames import CANCEL, Data, GoAway, RstStream
from tests.unit.agent.server.served_node import V4, ServedNode, until
from tests.unit.agent.server.spdy.client import SpdyClient

EXEC = "/exec/default/web/web?command=x"
FORWARD = "/portForward/default/web"
PORT_FORWARD = "portforward.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"


@pytest_asyncio.fixture
async def echo_port() -> AsyncIterator[int]:
    """A port that sends back what it gets, and ends when its peer does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("protocol", [V4, "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"])
async def test_exec_carries_input_output_and_outcome(node: ServedNode, protocol: str) -> None:
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(echoes_stdin=True, exit_code=7)
    client, head = await node.spdy(f"{EXEC}&input=1&output=1&error=1", protocol)
    assert head.startswith("HTTP/1.1 101 ")
    assert f"X-Stream-Protocol-Version: {protocol}\r\n" in head
    assert "Upgrade: SPDY/3.1\r\n" in head
    error, stdin, stdout, stderr = [
        await client.open(streamType=name) for name in ("error", "stdin", "stdout", "stderr")
    ]
    await client.send(Data(stdin, b"typed"))
    await client.until(lambda: client.received[stdout] == b"typed")
    await client.send(Data(stdin, b"", fin=True))
    await client.until(lambda: error in client.ended)
    if protocol == V4:
        status = json.loads(client.received[error])
        assert (status["reason"], status["details"]["causes"][0]["message"]) == ("NonZeroExitCode", "7")
    else:
        assert client.received[error] == b"command terminated with non-zero exit code: exit status 7"
    await client.until(lambda: GoAway(stderr) in client.frames)
    assert {stdout, stderr} <= client.ended
    await client.channel.close()


async def test_success_is_silent_before_v4(node: ServedNode) -> None:
    client, _ = await node.spdy(f"{EXEC}&output=1", "v3.channel.k8s.io")
    error = await client.open(streamType="error")
    await client.open(streamType="stdout")
    await client.until(lambda: error in client.ended)
    assert client.received[error] == b""
    await client.channel.close()


async def test_a_terminal_is_resized_over_its_own_stream(node: ServedNode) -> None:
    streams = keep_streams(node)
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(runs_forever=True)
    client, _ = await node.spdy(f"{EXEC}&input=1&output=1&error=1&tty=1", V4)
    for name in ("error", "stdin", "stdout", "resize"):
        assert await client.open(streamType=name)
    await client.send(Data(7, b'{"Width":80,"Height":24}\n{"Width":120,'), Data(7, b'"Height":40}\n'))
    await until(lambda: bool(streams) and streams[0].size == (120, 40))
    await client.channel.close()
    await until(lambda: streams[0].detached)
    assert not streams[0].closed, "the command outlives its client"


async def test_a_stream_that_was_not_asked_for_is_refused(node: ServedNode) -> None:
    client, _ = await node.spdy(f"{EXEC}&output=1", V4)
    assert await client.open(streamType="stdin") == 0
    assert await client.open(streamType="error") == 3
    assert await client.open(streamType="error") == 0
    await client.channel.close()


async def test_exec_ends_with_its_container(node: ServedNode) -> None:
    streams = keep_streams(node)
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(runs_forever=True)
    client, _ = await node.spdy(f"{EXEC}&output=1", V4)
    error = await client.open(streamType="error")
    await client.open(streamType="stdout")
    await until(lambda: bool(streams))
    node.runtime.exit_container(node.container_id, exit_code=137)
    await client.until(lambda: error in client.ended)
    assert json.loads(client.received[error])["details"]["causes"][0]["message"] == "137"
    await client.channel.close()


async def test_the_server_ends_the_connection_of_a_client_that_does_not(node: ServedNode) -> None:
    client, _ = await node.spdy(f"{EXEC}&output=1", V4)
    await client.open(streamType="error")
    await client.open(streamType="stdout")
    await client.until_over()
    assert client.is_over


async def forward(client: SpdyClient, port: int, request_id: str = "0") -> tuple[int, int]:
    """Open a pair of streams, as kubectl does: the error stream first, closed at once."""
    headers = {"port": str(port), **({"requestID": request_id} if request_id else {})}
    error = await client.open(streamType="error", **headers)
    await client.send(Data(error, b"", fin=True))
    return error, await client.open(streamType="data", **headers)


@pytest.mark.parametrize("request_id", ["5", ""], ids=["with a request id", "of a client without request ids"])
async def test_ports_are_forwarded_and_half_closed(node: ServedNode, echo_port: int, request_id: str) -> None:
    client, head = await node.spdy(FORWARD, PORT_FORWARD)
    assert f"X-Stream-Protocol-Version: {PORT_FORWARD}\r\n" in head
    error, data = await forward(client, echo_port, request_id)
    await client.send(Data(data, b"hello", fin=True))
    await client.until(lambda: {error, data} <= client.ended)
    assert (client.received[data], client.received[error]) == (b"hello", b"")
    await client.channel.close()


async def test_a_port_nobody_listens_on_is_an_error_and_others_go_on(node: ServedNode, echo_port: int) -> None:
    client, _ = await node.spdy(FORWARD, PORT_FORWARD)
    node.dialer.refused_port = 81
    error, data = await forward(client, 81)
    await client.until(lambda: {error, data} <= client.ended)
    sandbox_id = node.sandbox_id
    expected = f"error forwarding port 81 to pod {sandbox_id}, uid : connection refused"
    assert client.received[error].decode() == expected
    _, data = await forward(client, echo_port, "1")
    await client.send(Data(data, b"still here", fin=True))
    await client.until(lambda: data in client.ended)
    assert client.received[data] == b"still here"
    await client.channel.close()


async def test_nothing_is_dialled_once_the_sandbox_is_gone(node: ServedNode, echo_port: int) -> None:
    client, _ = await node.spdy(FORWARD, PORT_FORWARD)
    await node.stop_sandbox()
    error, _ = await forward(client, echo_port)
    await client.until(lambda: error in client.ended)
    assert b"is not running" in client.received[error]
    await client.channel.close()


async def test_a_connection_the_client_gives_up_is_closed(node: ServedNode) -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionError:
            pass
        closed.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client, _ = await node.spdy(FORWARD, PORT_FORWARD)
    _, data = await forward(client, server.sockets[0].getsockname()[1])
    await client.send(Data(data, b"x"), RstStream(data, CANCEL))
    await closed.wait()
    await client.channel.close()
    server.close()


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"streamtype": "data"}, id="no port"),
        pytest.param({"streamtype": "data", "port": "0"}, id="port 0"),
        pytest.param({"streamtype": "data", "port": "65536"}, id="a port beyond the last"),
        pytest.param({"streamtype": "data", "port": "http"}, id="a name for a port"),
        pytest.param({"streamtype": "stdin", "port": "80"}, id="another type of stream"),
    ],
)
async def test_streams_that_name_no_connection_are_refused(node: ServedNode, headers: dict[str, str]) -> None:
    client, _ = await node.spdy(FORWARD, PORT_FORWARD)
    assert await client.open(**headers) == 0
    await client.channel.close()


class Tunnel:
    """The client's end of a WebSocket tunnel; every frame is cut in two messages, as clients may."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        message = await self._socket.receive()
        return message.data if message.type is aiohttp.WSMsgType.BINARY else b""

    async def write(self, content: bytes) -> None:
        await self._socket.send_bytes(content[:3])
        await self._socket.send_bytes(content[3:])

    async def close(self) -> None:
        await self._socket.close()


async def test_ports_are_forwarded_in_a_websocket_tunnel(node: ServedNode, echo_port: int) -> None:
    async with node.session() as session, session.ws_connect(FORWARD, protocols=(TUNNEL,)) as socket:
        assert socket.protocol == TUNNEL
        client = SpdyClient(Tunnel(socket))
        error, data = await forward(client, echo_port)
        await client.send(Data(data, b"through the tunnel", fin=True))
        await client.until(lambda: {error, data} <= client.ended)
        assert client.received[data] == b"through the tunnel"


async def test_ports_are_forwarded_in_channels(node: ServedNode, echo_port: int) -> None:
    node.dialer.refused_port = 81
    path = f"{FORWARD}?port={echo_port}&port=81"
    async with node.session() as session, session.ws_connect(path, protocols=(V4,)) as socket:
        await socket.send_bytes(b"\x00hello")
        received: dict[int, bytes] = dict.fromkeys(range(4), b"")
        while b"hello" not in received[0] or b"refused" not in received[3]:
            message = (await socket.receive()).data
            received[message[0]] += message[1:]
        assert received[0] == struct.pack("<H", echo_port) + b"hello"
        assert received[1] == struct.pack("<H", echo_port)
        assert received[2] == struct.pack("<H", 81)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", 'query parameter "port" is required'),
        ("?port=", 'query parameter "port" cannot be empty'),
        ("?port=x", 'unable to parse "x" as a port: strconv.ParseUint: parsing "x": invalid syntax'),
        ("?port=70000", 'unable to parse "70000" as a port: strconv.ParseUint: parsing "70000": value out of range'),
        ("?port=0", 'port "0" must be > 0'),
    ],
)
async def test_channels_need_ports(node: ServedNode, query: str, text: str) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": V4}
    async with node.session() as session, session.get(FORWARD + query, headers=headers) as answer:
        assert (answer.status, await answer.text()) == (400, text)


def keep_streams(node: ServedNode) -> list[Any]:
    """The engine's streams, as they are opened."""
    streams: list[Any] = []
    original = node.runtime.open_exec

    async def open_exec(*arguments: Any, **options: Any) -> Any:
        streams.append(await original(*arguments, **options))
        return streams[-1]

    node.runtime.open_exec = open_exec  # type: ignore[method-assign]
    return streams


async def test_a_command_that_takes_no_input_holds_its_client_back_and_not_the_end(node: ServedNode) -> None:
    streams = keep_streams(node)
    node.runtime.exec_outcome = lambda record, command: ExecOutcome(runs_forever=True)
    client, _ = await node.spdy(f"{EXEC}&input=1&output=1", V4)
    error, stdin, _ = [await client.open(streamType=name) for name in ("error", "stdin", "stdout")]
    await until(lambda: bool(streams))

    async def take_nothing(content: bytes) -> None:
        await asyncio.Event().wait()

    streams[0].write = take_nothing
    flooding = asyncio.ensure_future(client.send(*[Data(stdin, bytes(65536))] * 500))
    node.runtime.exit_container(node.container_id, exit_code=1)
    await client.until(lambda: error in client.ended)
    await client.until(lambda: any(isinstance(frame, GoAway) for frame in client.frames))
    await flooding
    await client.channel.close()
