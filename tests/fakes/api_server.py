"""A whole API server for tests: the real pipeline over a store in memory (or another), optionally behind HTTPS.

    async with running_api_server() as server:
        server.endpoint                  # the ApiEndpoint, for in-process clients
        server.url                       # https://127.0.0.1:PORT
        server.ca_pem                    # what clients trust
        server.admin                     # KeyPair (certificate_pem, key_pem) of a member of system:masters
        server.client_ssl_context()      # TLS context with the admin's certificate
        server.keys                      # the cluster's ClusterKeys (directory, authority, ...)

`https=False` leaves the listener out. `python -m tests.fakes.serve --port 0 --token-auth-file F` runs the same as a
process.
"""

from __future__ import annotations

import random
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from control.api.clock import Clock, SystemClock
from control.api.exchange import ApiEndpoint, User
from control.apiserver.app import ApiServer, ApiServerConfig
from control.auth.pki import ClusterKeys, KeyPair, ensure_cluster_keys
from control.auth.tokens import SigningKey, TokenIssuer
from control.storage.memory import MemoryStorage
from control.storage.protocol import Storage

ADMIN = User(name="kubernetes-admin", groups=("system:masters", "system:authenticated"))


def _node_context(keys: ClusterKeys, *, verifies: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=keys.authority.certificate_pem.decode())
    if not verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    name = keys.directory / "apiserver-kubelet-client"
    context.load_cert_chain(f"{name}.crt", f"{name}.key")
    return context


class RunningApiServer:
    """Handles of a running server."""

    def __init__(self, server: ApiServer, keys: ClusterKeys, storage: Storage) -> None:
        self.server = server
        self.keys = keys
        self.storage = storage
        self.port = 0

    @property
    def endpoint(self) -> ApiEndpoint:
        """The pipeline as a function."""
        return self.server.endpoint

    @property
    def url(self) -> str:
        """Base URL of the listener."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_pem(self) -> str:
        """The CA certificate."""
        return self.keys.authority.certificate_pem.decode()

    @property
    def admin(self) -> KeyPair:
        """The administrator's client certificate."""
        return self.keys.admin

    def client_ssl_context(self, *, with_certificate: bool = True) -> ssl.SSLContext:
        """TLS context of a client."""
        context = ssl.create_default_context(cadata=self.ca_pem)
        if with_certificate:
            directory = self.keys.directory
            context.load_cert_chain(directory / "admin.crt", directory / "admin.key")
        return context


@asynccontextmanager
async def running_api_server(
    *,
    storage: Storage | None = None,
    clock: Clock | None = None,
    https: bool = True,
    host: str = "127.0.0.1",
    port: int = 0,
    static_tokens: Mapping[str, User] | None = None,
    directory: Path | None = None,
    seed: int = 1,
    **config: Any,
) -> AsyncIterator[RunningApiServer]:
    """Start a server, yield it, stop it. `config` are fields of ApiServerConfig."""
    clock = clock or SystemClock()
    storage = storage or MemoryStorage(clock=clock)
    with tempfile.TemporaryDirectory(prefix="podling-test-") as temporary:
        keys = ensure_cluster_keys(directory or Path(temporary), [host, "localhost", "10.96.0.1"], now=clock.now())
        server = ApiServer(
            config=ApiServerConfig(
                static_tokens=static_tokens or {},
                client_ca_pem=keys.authority.certificate_pem.decode(),
                node_ssl_context=_node_context(keys, verifies=True),
                unverified_node_ssl_context=_node_context(keys, verifies=False),
                **config,
            ),
            storage=storage,
            random=random.Random(seed),
            clock=clock,
            token_issuer=TokenIssuer(SigningKey(keys.token_key_pem)),
        )
        running = RunningApiServer(server, keys, storage)
        await server.start()
        listener = None
        if https:
            from control.apiserver.serving import make_server_context, serve

            context = make_server_context(
                certificate_file=str(keys.serving_certificate_path),
                key_file=str(keys.serving_key_path),
                client_ca_pem=running.ca_pem,
            )
            listener = await serve(server.endpoint, host=host, port=port, ssl_context=context)
            running.port = listener.port
        try:
            yield running
        finally:
            await server.stop()
            if listener is not None:
                await listener.close()
            await storage.close()
