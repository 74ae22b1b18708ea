"""HTTPS: uvicorn's HTTP/1.1 protocol on a listener of our own, with what ASGI leaves out.

The protocol subclass hands the client's certificate to the application, and gives the raw connection away when an
upgrade is accepted (exec, attach, port-forward, proxy), so that bytes can be spliced without HTTP in between.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from control.apiserver.asgi import CONNECTION, CYCLE, AsgiApplication, Connection, Headers

#: Go's default for idle connections of an HTTP server is none, kube-apiserver's is 3 minutes.
KEEP_ALIVE_SECONDS = 180
#: How long answers under way may take when the server stops.
SHUTDOWN_SECONDS = 5.0
_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class TakenConnection:
    """A connection that has left HTTP."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class ServingProtocol(HttpToolsProtocol, Connection):
    """One client connection."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self._is_upgrading = False
        self._after_head = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Read the client's certificate once."""
        super().connection_made(transport)
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            self.peer_certificate = ssl_object.getpeercert(binary_form=True)

    def on_message_begin(self) -> None:
        """Put the connection into the request's scope."""
        super().on_message_begin()
        cast(dict[str, Any], self.scope)[CONNECTION] = self

    def on_headers_complete(self) -> None:
        """Let the application find the cycle of its request."""
        super().on_headers_complete()
        cast(dict[str, Any], self.scope)[CYCLE] = self.cycle

    async def send_whole(self, cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> None:
        """Write a complete answer at once: one TLS record and one system call instead of two."""
        if cycle.disconnected:
            return
        if self.flow.write_paused:
            await self.flow.drain()
        cycle.response_started = True
        parts = [STATUS_LINE[status]]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        if cycle.scope["method"] != "HEAD":
            parts.append(body)
        self.transport.write(b"".join(parts))
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def data_received(self, data: bytes) -> None:
        """Parse; keep what follows the head of an upgrade request for whoever takes the connection over."""
        if self._is_upgrading:
            self._after_head += data
            self.flow.pause_reading()
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._is_upgrading = True
            self.cycle.keep_alive = False  # if it is refused, the client must come again
            self._after_head = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _should_upgrade(self) -> bool:
        return False  # upgrades go through the application like any request

    def take_over(self) -> TakenConnection:
        """Replace this protocol by a stream."""
        transport = self.transport
        self.connections.discard(self)
        self._unset_keepalive_if_required()
        self.cycle.response_started = self.cycle.response_complete = True
        reader = asyncio.StreamReader(loop=self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._after_head:
            reader.feed_data(self._after_head)
        self.flow.resume_reading()
        return TakenConnection(reader, asyncio.StreamWriter(transport, protocol, reader, self.loop))


class HttpsServer:
    """A listener. `port` is the one it listens on, also if 0 was asked for."""

    def __init__(self, server: asyncio.Server, state: ServerState) -> None:
        self._server = server
        self._state = state
        self.port: int = server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, let answers under way end, then cut what is left."""
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        tasks = set(self._state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=SHUTDOWN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in list(self._state.connections):
            if connection.transport is not None:
                connection.transport.abort()


async def serve(
    application: AsgiApplication, *, host: str, port: int, ssl_context: ssl.SSLContext | None
) -> HttpsServer:
    """Listen. Raises OSError if the address is taken."""
    config = Config(
        application,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        interface="asgi3",
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: ServingProtocol(config, state, {}),
        host=host,
        port=port,
        ssl=ssl_context,
        backlog=_BACKLOG,
        family=socket.AF_UNSPEC if ":" in host else socket.AF_INET,
    )
    return HttpsServer(server, state)


def make_server_context(*, certificate_file: str, key_file: str, client_ca_pem: str) -> ssl.SSLContext:
    """TLS of the server: client certificates are welcome, not required; one of another CA ends the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    context.load_verify_locations(cadata=client_ca_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
