"""The gRPC health check against servers that speak real HTTP/2 on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.events
import pytest

from agent.pods.grpc_health import HealthCheckError, check_health
from agent.pods.probe_attempt import NetworkProbeAttempt, ProbeResult
from agent.runtime.fake_runtime import FakeRuntime
from control.api.clock import FakeClock
from tests.unit.agent.pods.test_probe_attempt import closed_port

Answer = Callable[[h2.connection.H2Connection, int, dict[bytes, bytes], bytes], None]


def serving(status: int) -> Answer:
    """Answers every check with this status, after having checked the request itself."""

    def answer(connection: h2.connection.H2Connection, stream: int, headers: dict[bytes, bytes], body: bytes) -> None:
        assert headers[b":path"] == b"/grpc.health.v1.Health/Check"
        assert headers[b"content-type"] == b"application/grpc"
        connection.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        connection.send_data(stream, b"\0\0\0\0\x02\x08" + bytes([status]) if status else b"\0\0\0\0\0")
        connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    return answer


def failing(code: int, message: str) -> Answer:
    """Answers with headers alone, as a server does that has no such service."""

    def answer(connection: h2.connection.H2Connection, stream: int, headers: dict[bytes, bytes], body: bytes) -> None:
        fields = [(":status", "200"), ("grpc-status", str(code)), ("grpc-message", message)]
        connection.send_headers(stream, fields, end_stream=True)

    return answer


def saying(message: bytes) -> Answer:
    """Answers with these bytes for a message."""

    def answer(connection: h2.connection.H2Connection, stream: int, headers: dict[bytes, bytes], body: bytes) -> None:
        connection.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        connection.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message)
        connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    return answer


def by_service(connection: h2.connection.H2Connection, stream: int, headers: dict[bytes, bytes], body: bytes) -> None:
    """Knows the service `up` only."""
    (serving(1) if body[7:] == b"up" else failing(5, "unknown service"))(connection, stream, headers, body)


def silent(connection: h2.connection.H2Connection, stream: int, headers: dict[bytes, bytes], body: bytes) -> None:
    """Never answers."""


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        connection.initiate_connection()
        headers: dict[bytes, bytes] = {}
        body = b""
        while True:
            writer.write(connection.data_to_send())
            received = await reader.read(4096)
            if not received:
                break
            for event in connection.receive_data(received):
                if isinstance(event, h2.events.RequestReceived):
                    headers = dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    answer(connection, event.stream_id, headers, body)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()


@pytest.mark.parametrize(
    ("number", "status"), [(0, "UNKNOWN"), (1, "SERVING"), (2, "NOT_SERVING"), (3, "SERVICE_UNKNOWN")]
)
async def test_statuses(number: int, status: str) -> None:
    async with server(serving(number)) as port:
        assert await check_health("127.0.0.1", port, service="", timeout_seconds=10) == status


@pytest.mark.parametrize("name", ["up", "up" * 80])
async def test_the_service_is_asked_for_by_name(name: str) -> None:
    async with server(by_service) as port:
        if name == "up":
            assert await check_health("127.0.0.1", port, service=name, timeout_seconds=10) == "SERVING"
            return
        with pytest.raises(HealthCheckError) as caught:
            await check_health("127.0.0.1", port, service=name, timeout_seconds=10)
    text = "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service"
    assert str(caught.value) == text


async def probe(port: int, timeout: float = 10) -> ProbeResult:
    attempt = NetworkProbeAttempt(FakeRuntime(FakeClock()))
    return await attempt.probe({"name": "web"}, "id", {"grpc": {"port": port}, "timeoutSeconds": timeout}, "127.0.0.1")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(serving(1), ProbeResult(passed=True, output="service healthy"), id="healthy"),
        pytest.param(
            serving(2), ProbeResult(passed=False, output='service unhealthy (responded with "NOT_SERVING")'), id="ill"
        ),
        pytest.param(
            failing(12, "unknown%20service"),
            ProbeResult(
                passed=False,
                output="error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
                "unknown service",
            ),
            id="a server without the health service",
        ),
        pytest.param(
            saying(b"\x12\x03new\x08\x01"),
            ProbeResult(passed=True, output="service healthy"),
            id="with a field that is not known, before the status",
        ),
        pytest.param(
            saying(b"\x08"),
            ProbeResult(
                passed=False,
                output="error: health rpc probe failed: rpc error: code = Internal desc = grpc: failed to unmarshal "
                "the received message: proto: cannot parse invalid wire-format data",
            ),
            id="half a message",
        ),
    ],
)
async def test_a_probe_passes_when_the_service_serves(answer: Answer, expected: ProbeResult) -> None:
    async with server(answer) as port:
        assert await probe(port) == expected


async def test_a_server_that_does_not_answer_times_out() -> None:
    async with server(silent) as port:
        assert (await probe(port, timeout=2)).output == "timeout: health rpc did not complete within 2s"


async def test_a_closed_port_is_what_upstreams_client_has_tried_until_its_time_was_up() -> None:
    with closed_port() as port:
        expected = f'timeout: failed to connect service "127.0.0.1:{port}" within 10s: context deadline exceeded'
        assert (await probe(port)).output == expected


async def test_a_server_of_another_protocol_is_no_health_service() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    result = await probe(listening.sockets[0].getsockname()[1])
    listening.close()
    assert not result.passed
    assert result.output.startswith("timeout: failed to connect service")
