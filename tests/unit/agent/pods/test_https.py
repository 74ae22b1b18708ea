"""Probes and hooks over TLS: no certificate is verified, and a plain server still serves the hooks of old."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.pods.container_cache import ContainerCache
from agent.pods.hooks import HookError, HookRunner
from agent.pods.http_get import HttpGetError, http_get
from agent.pods.pod_record import PodRecord
from agent.runtime.fake_runtime import FakeRuntime
from control.api.clock import FakeClock
from tests.fakes.agent_node import OWNER, make_pod


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line = (await reader.readline()).decode("latin-1")
    if line.startswith("GET "):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    else:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()


@pytest_asyncio.fixture
async def tls_port(tmp_path: Path) -> AsyncIterator[int]:
    """A server whose certificate is expired, self-signed and of another name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=3))
        .not_valid_after(now - timedelta(days=2))
        .sign(key, hashes.SHA256())
    )
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, *private)
    (tmp_path / "pem").write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest_asyncio.fixture
async def plain_port() -> AsyncIterator[int]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_a_certificate_is_not_verified(tls_port: int) -> None:
    assert (await http_get(f"https://127.0.0.1:{tls_port}/", timeout_seconds=10)).body == "ok"


async def test_a_probe_over_tls_does_not_fall_back(plain_port: int) -> None:
    with pytest.raises(HttpGetError, match="http: server gave HTTP response to HTTPS client") as caught:
        await http_get(f"https://127.0.0.1:{plain_port}/", timeout_seconds=10)
    assert caught.value.is_plain_http


async def run_hook(port: int, scheme: str) -> list[tuple[str, str]]:
    events: list[tuple[str, str]] = []

    def record(pod: Any, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        events.append((reason, message))

    runtime = FakeRuntime(FakeClock())
    hooks = HookRunner(runtime, ContainerCache(runtime, OWNER, FakeClock()), FakeClock(), record, lambda: "127.0.0.1")
    action = {"httpGet": {"path": "hook", "port": port, "scheme": scheme, "host": "127.0.0.1"}}
    pod = make_pod()
    container = {"name": "web", "lifecycle": {"postStart": action}}
    await hooks.post_start(PodRecord(uid="u", pod=pod, wake=lambda: None), container, "id")
    return events


async def test_a_hook_over_tls_falls_back_to_a_plain_server_and_says_so(plain_port: int) -> None:
    message = f"request to HTTPS lifecycle hook 127.0.0.1:{plain_port} got HTTP response, retry with HTTP succeeded"
    assert await run_hook(plain_port, "HTTPS") == [("LifecycleHTTPFallback", message)]
    assert await run_hook(plain_port, "HTTP") == []


async def test_a_hook_without_a_server_fails() -> None:
    with pytest.raises(HookError, match="connection refused"):
        await run_hook(1, "HTTP")
