"""One try of a probe against real sockets on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio

from agent.pods.probe_attempt import NetworkProbeAttempt, ProbeResult
from agent.runtime.fake_runtime import ExecOutcome, FakeRuntime
from agent.runtime.protocol import ContainerRecord
from control.api.clock import FakeClock

PATHS = {
    "/ok": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "/bad": b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
    "/moved": b"HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n",
    "/away": b"HTTP/1.1 302 Found\r\nLocation: http://example.invalid/\r\nContent-Length: 4\r\n\r\ngone",
    "/loop": b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n",
    "/garbage": b"hello\r\n\r\n",
}


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        if path == "/silent":
            await reader.read()
        elif path == "/headers":
            status = 200 if "X-Probe: yes" in head and "User-Agent: kube-probe/1.36" in head else 500
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            writer.write(PATHS[path])
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody else can: it is held."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


async def attempt(probe: dict[str, Any], container: dict[str, Any] | None = None) -> ProbeResult:
    runtime = FakeRuntime(FakeClock())
    return await NetworkProbeAttempt(runtime).probe(container or {"name": "web"}, "id", probe, "127.0.0.1")


@pytest.mark.parametrize(
    ("path", "passed", "output", "warns"),
    [
        ("/ok", True, "ok", False),
        ("/bad", False, "HTTP probe failed with statuscode: 503", False),
        ("/moved", True, "ok", False),
        ("/away", True, "Probe terminated redirects, Response body: gone", True),
        ("/loop", False, "stopped after 10 redirects", False),
        ("/garbage", False, "malformed HTTP response", False),
    ],
)
async def test_http(port: int, path: str, passed: bool, output: str, warns: bool) -> None:
    result = await attempt({"httpGet": {"path": path, "port": port}, "timeoutSeconds": 60})
    assert (result.passed, result.warns) == (passed, warns)
    assert output in result.output


async def test_headers_and_named_ports_are_used(port: int) -> None:
    action = {"path": "headers", "port": "web", "httpHeaders": [{"name": "X-Probe", "value": "yes"}]}
    container = {"name": "web", "ports": [{"name": "web", "containerPort": port}]}
    assert (await attempt({"httpGet": action, "timeoutSeconds": 60}, container)).passed
    unknown = await attempt({"httpGet": {"port": "other"}}, container)
    assert (unknown.errored, unknown.output) == (True, "couldn't find port: other in web")


async def test_failures_to_connect_are_worded_as_go_does() -> None:
    with closed_port() as port:
        http = await attempt({"httpGet": {"path": "/", "port": port}, "timeoutSeconds": 60})
        tcp = await attempt({"tcpSocket": {"port": port}, "timeoutSeconds": 60})
    assert http.output == f'Get "http://127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'
    assert tcp.output == f"dial tcp 127.0.0.1:{port}: connect: connection refused"


async def test_an_open_port_passes(port: int) -> None:
    assert (await attempt({"tcpSocket": {"port": port}, "timeoutSeconds": 60})).passed


async def test_a_server_that_says_nothing_times_out(port: int) -> None:
    result = await attempt({"httpGet": {"path": "/silent", "port": port}, "timeoutSeconds": 1})
    assert result.output.endswith("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")


@pytest.mark.parametrize(("exit_code", "passed"), [(0, True), (1, False)])
async def test_a_command_passes_with_exit_code_zero(exit_code: int, passed: bool) -> None:
    runtime = FakeRuntime(FakeClock())
    runtime.add_image("web:1")
    container_id = await runtime.create_container("c", {"Image": "web:1", "HostConfig": {}})
    await runtime.start_container(container_id)

    def outcome(record: ContainerRecord, command: Any) -> ExecOutcome:
        return ExecOutcome(exit_code=exit_code, output=" ".join(command).encode())

    runtime.exec_outcome = outcome
    container = {"name": "web", "env": [{"name": "X", "value": "x"}]}
    result = await NetworkProbeAttempt(runtime).probe(container, container_id, {"exec": {"command": ["$(X)"]}}, "")
    assert result == ProbeResult(passed=passed, output="x")
