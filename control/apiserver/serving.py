"""HTTPS: the listener of the API server and its TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl

from control.api.exchange import ApiEndpoint
from control.apiserver.http_protocol import HttpProtocol, OpenConnections

#: How long answers under way may take when the server stops.
SHUTDOWN_SECONDS = 5.0
_BACKLOG = 1024


class HttpsServer:
    """A listener. `port` is the one it listens on, also if 0 was asked for."""

    def __init__(self, server: asyncio.Server, clients: OpenConnections) -> None:
        self._server = server
        self._clients = clients
        self.port: int = server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, let answers under way end, then cut what is left."""
        self._server.close()
        self._clients.is_closing = True
        for connection in list(self._clients.connections):
            connection.close_when_idle()
        tasks = set(self._clients.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=SHUTDOWN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in list(self._clients.connections):
            connection.abort()


async def serve(endpoint: ApiEndpoint, *, host: str, port: int, ssl_context: ssl.SSLContext | None) -> HttpsServer:
    """Listen. Raises OSError if the address is taken."""
    clients = OpenConnections()
    server = await asyncio.get_running_loop().create_server(
        lambda: HttpProtocol(endpoint, clients),
        host=host,
        port=port,
        ssl=ssl_context,
        backlog=_BACKLOG,
        family=socket.AF_UNSPEC if ":" in host else socket.AF_INET,
    )
    return HttpsServer(server, clients)


def make_server_context(*, certificate_file: str, key_file: str, client_ca_pem: str) -> ssl.SSLContext:
    """TLS of the server: client certificates are welcome, not required; one of another CA ends the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    context.load_verify_locations(cadata=client_ca_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
