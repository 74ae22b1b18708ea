"""TCP connections to a Pod's own loopback, from inside its network namespace."""

from __future__ import annotations

import asyncio
import os
import socket

from agent.network.namespace import entered
from agent.network.protocol import NetworkError

HOST_NAMESPACE = "host"
CONNECT_SECONDS_MAX = 10.0
LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class NamespaceDialer:
    """Implements `agent.network.protocol.PodDialer` with setns: a socket stays in the namespace it was made in."""

    async def dial(self, sandbox_id: str, sandbox_pid: int, port: int, *, host_network: bool) -> Connection:
        """Connect to localhost:port of the Pod, IPv4 first. Raises NetworkError in the words of containerd."""
        path = None if host_network else f"/proc/{sandbox_pid}/ns/net"
        failures = []
        for family, address in LOOPBACKS:
            try:
                return await _connect(path, family, address, port)
            except (OSError, TimeoutError, NetworkError) as error:
                failures.append(_describe(error, family, address, port))
        raise NetworkError(
            f'failed to execute portforward in network namespace "{path or HOST_NAMESPACE}": '
            f'failed to connect to localhost:{port} inside namespace "{sandbox_id}", '
            f"IPv4: {failures[0]} IPv6 {failures[1]}"
        )


async def _connect(path: str | None, family: int, address: str, port: int) -> Connection:
    made = await asyncio.to_thread(_make_socket, path, family)
    try:
        made.setblocking(False)
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            await asyncio.get_running_loop().sock_connect(made, (address, port))
        return await asyncio.open_connection(sock=made)
    except BaseException:
        made.close()
        raise


def _make_socket(path: str | None, family: int) -> socket.socket:
    if path is None:
        return socket.socket(family, socket.SOCK_STREAM)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with entered(descriptor):
            return socket.socket(family, socket.SOCK_STREAM)
    finally:
        os.close(descriptor)


def _describe(error: Exception, family: int, address: str, port: int) -> str:
    """As Go words a failed dial."""
    network, host = ("tcp4", address) if family == socket.AF_INET else ("tcp6", f"[{address}]")
    if isinstance(error, TimeoutError):
        reason = "i/o timeout"
    elif isinstance(error, OSError) and error.errno:
        reason = f"connect: {os.strerror(error.errno).lower()}"
    else:
        reason = str(error)
    return f"dial {network} {host}:{port}: {reason}"
