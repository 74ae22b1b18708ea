"""A node's server over real TLS on loopback, and its clients."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from agent.network.protocol import NetworkError
from agent.pods.container_cache import ContainerCache
from agent.pods.probe_tally import ProbeTally
from agent.runtime.fake_runtime import FakeRuntime
from control.auth.pki import CertificateAuthority
from control.client.transport import ServerUnavailableError
from tests.unit.agent.server.spdy.client import SpdyClient, StreamEnds

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"


@dataclass
class ServedNode:
    """A running server, its engine and a client session per identity."""

    url: str
    runtime: FakeRuntime
    container_id: str
    pod: dict[str, Any]
    directory: Path
    authority: CertificateAuthority
    sandbox_id: str
    dialer: LoopbackDialer
    cache: ContainerCache
    probes: ProbeTally
    api: ReviewingApi

    async def stop_sandbox(self) -> None:
        """The pause container dies, and the agent knows."""
        self.runtime.exit_container(self.sandbox_id, exit_code=137)
        await self.cache.relist()

    def session(
        self, name: str = "kube-apiserver-kubelet-client", groups: tuple[str, ...] = ()
    ) -> aiohttp.ClientSession:
        context = self.client_context(name, groups)
        return aiohttp.ClientSession(self.url, connector=aiohttp.TCPConnector(ssl=context))

    def anonymous_session(self, token: str = "") -> aiohttp.ClientSession:
        """Without a certificate."""
        context = ssl.create_default_context(cadata=self.authority.certificate_pem.decode())
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return aiohttp.ClientSession(self.url, connector=aiohttp.TCPConnector(ssl=context), headers=headers)

    def client_context(
        self, name: str = "kube-apiserver-kubelet-client", groups: tuple[str, ...] = ()
    ) -> ssl.SSLContext:
        pair = self.authority.issue_client(name, groups, now=datetime.now(UTC))
        certificate, key = self.directory / "client.crt", self.directory / "client.key"
        certificate.write_bytes(pair.certificate_pem)
        key.write_bytes(pair.key_pem)
        context = ssl.create_default_context(cadata=self.authority.certificate_pem.decode())
        context.load_cert_chain(certificate, key)
        return context

    async def spdy(self, path: str, protocol: str) -> tuple[SpdyClient, str]:
        """Upgrade to SPDY; the client and the head of the answer."""
        address = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=self.client_context())
        lines = [f"POST {path} HTTP/1.1", "Host: node", "Connection: Upgrade", "Upgrade: SPDY/3.1"]
        lines += [f"X-Stream-Protocol-Version: {protocol}", "", ""]
        writer.write("\r\n".join(lines).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        return SpdyClient(StreamEnds(reader, writer)), head

    async def exec(self, query: str, *protocols: str) -> list[tuple[int, bytes]]:
        """Run an exec to its end; all messages."""
        async with (
            self.session() as session,
            session.ws_connect(f"/exec/default/web/web?{query}", protocols=protocols or (V5,)) as channel,
        ):
            return [(message.data[0], message.data[1:]) async for message in channel]


class ReviewingApi:
    """An API server that knows tokens and what their users may do, and can be away. Implements a Transport's part."""

    def __init__(self) -> None:
        self.users: dict[str, str] = {}
        self.allowed: set[tuple[str, str, str]] = set()
        self.asked: list[tuple[str, ...]] = []
        self.is_away = False

    async def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        if self.is_away:
            raise ServerUnavailableError("connection refused")
        spec = options["body"]["spec"]
        if path.endswith("/tokenreviews"):
            self.asked.append((spec["token"],))
            name = self.users.get(spec["token"])
            return {"status": {"authenticated": True, "user": {"username": name}} if name else {}}
        attributes = spec["resourceAttributes"]
        assert (attributes["resource"], attributes["name"]) == ("nodes", "node-1")
        question = spec["user"], attributes["verb"], attributes["subresource"]
        self.asked.append(question)
        return {"status": {"allowed": question in self.allowed}}


class LoopbackDialer:
    """Reaches this process' own loopback in place of a Pod's."""

    refused_port = 0

    async def dial(self, sandbox_id: str, sandbox_pid: int, port: int, *, host_network: bool) -> Any:
        if port == self.refused_port:
            raise NetworkError("connection refused")
        return await asyncio.open_connection("127.0.0.1", port)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until the condition holds; the test's own time-out bounds it."""
    while True:
        if condition():
            return
        await asyncio.sleep(0)
