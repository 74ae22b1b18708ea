"""One forwarded connection: bytes between a client's stream and a port of the Pod."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.network.protocol import NetworkError, PodDialer

CHUNK_BYTES = 64 * 1024


class ForwardStream(Protocol):
    """The client's side of a connection. `was_reset`: the client has given it up, in both directions."""

    was_reset: bool

    async def read(self) -> bytes:
        """What the client sent next; empty when it sends no more."""
        ...

    async def write(self, content: bytes) -> None:
        """Send to the client at its pace. Raises ConnectionError."""
        ...


@dataclass(frozen=True, slots=True)
class ForwardTarget:
    """The Pod whose ports are meant."""

    dialer: PodDialer
    sandbox_id: str
    sandbox_pid: int
    host_network: bool
    is_running: Callable[[], bool]

    async def forward(self, port: int, stream: ForwardStream) -> str:
        """Connect, and copy both ways until the Pod's side ends. Returns what went wrong, in the kubelet's words.

        A connection that was made and then broke is no error to report: clients end the whole port-forward for one.
        """
        failure = f"error forwarding port {port} to pod {self.sandbox_id}, uid : "
        if not self.is_running():
            return failure + f'sandbox container "{self.sandbox_id}" is not running'
        try:
            reader, writer = await self.dialer.dial(
                self.sandbox_id, self.sandbox_pid, port, host_network=self.host_network
            )
        except NetworkError as error:
            return failure + str(error)
        sending = asyncio.ensure_future(_copy_to_pod(stream, writer))
        try:
            with contextlib.suppress(OSError):
                while content := await reader.read(CHUNK_BYTES):
                    await stream.write(content)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.close()
        return ""


async def _copy_to_pod(stream: ForwardStream, writer: asyncio.StreamWriter) -> None:
    """The client's end of input becomes the end of the Pod's; its answer may still come."""
    with contextlib.suppress(OSError):
        while content := await stream.read():
            writer.write(content)
            await writer.drain()
        if stream.was_reset:
            writer.transport.abort()
        else:
            writer.write_eof()
