"""A hijacked exec or attach socket as an ExecStream.

Invariant: a stream ends. Docker never closes the stream of an exec whose container's first process died in a shared
PID namespace, so every stream also watches its container, and ends shortly after that has stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable

from agent.runtime.protocol import RuntimeFailure
from agent.runtime.socket_close import close_socket
from control.client.http_connections import HttpAnswer

READ_BYTES_MAX = 64 * 1024
STDOUT, STDERR = 1, 2
# The engine reports a container as stopped only after its output was copied: what is still to come is on the socket.
DRAIN_SECONDS_AFTER_STOP = 0.25

Resize = Callable[[int, int], Awaitable[None]]


class HijackedStream:
    """Bytes both ways. With a terminal everything is stdout; without, the engine's frames are taken apart."""

    def __init__(
        self,
        response: HttpAnswer,
        *,
        tty: bool,
        stopped: Awaitable[None],
        resize: Resize,
        exit_code: Callable[[], Awaitable[int]],
        abandon: Callable[[], Awaitable[None]],
        closes_stdin: bool = True,
    ) -> None:
        """`stopped` completes when the container has stopped; `abandon` ends a command that still runs.

        Without `closes_stdin` the end of the input is kept from the engine, which would end the output with it.
        """
        self._closes_stdin = closes_stdin
        self._reader, self._writer = response.reader, response.writer
        self._tty = tty
        self._resize, self._exit_code, self._abandon = resize, exit_code, abandon
        self._channel, self._frame_bytes_left = STDOUT, 0
        self._stopped = asyncio.ensure_future(self._watch(stopped))
        self._ended = self._closed = False

    async def _watch(self, stopped: Awaitable[None]) -> None:
        with contextlib.suppress(RuntimeFailure):
            await stopped

    async def read(self) -> tuple[int, bytes] | None:
        """Next chunk, or None at the end."""
        if self._ended:
            return None
        try:
            chunk = await self._until_stopped(self._read_chunk())
        except (OSError, asyncio.IncompleteReadError):
            chunk = None
        if chunk is None:
            self._ended = True
        return chunk

    async def _until_stopped(self, reading: Awaitable[tuple[int, bytes] | None]) -> tuple[int, bytes] | None:
        task = asyncio.ensure_future(reading)
        try:
            await asyncio.wait({task, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=DRAIN_SECONDS_AFTER_STOP)
            return task.result() if task.done() else None
        finally:
            task.cancel()

    async def _read_chunk(self) -> tuple[int, bytes] | None:
        if self._tty:
            content = await self._reader.read(READ_BYTES_MAX)
            return (STDOUT, content) if content else None
        while not self._frame_bytes_left:
            header = await self._reader.readexactly(8)  # at the end: IncompleteReadError
            channel, self._frame_bytes_left = struct.unpack(">BxxxL", header)
            self._channel = STDERR if channel == STDERR else STDOUT
        content = await self._reader.read(min(READ_BYTES_MAX, self._frame_bytes_left))
        if not content:
            return None
        self._frame_bytes_left -= len(content)
        return self._channel, content

    async def write(self, data: bytes) -> None:
        """Send to stdin; what a finished command no longer takes is dropped, as with a closed pipe."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write(data)
            await self._writer.drain()

    async def close_stdin(self) -> None:
        """Half-close: the command sees the end of its input, its output keeps coming."""
        if not self._closes_stdin:
            return
        with contextlib.suppress(OSError, RuntimeError):
            if self._writer.can_write_eof():
                self._writer.write_eof()

    async def resize(self, width: int, height: int) -> None:
        """Set the terminal size in characters."""
        await self._resize(width, height)

    async def exit_code(self) -> int:
        """Exit code once the stream has ended."""
        return await self._exit_code()

    async def detach(self) -> None:
        """Leave the stream: its input ends, a command that still runs goes on; the engine drops its output."""
        if self._closed:
            return
        self._closed = self._ended = True
        self._stopped.cancel()
        close_socket(self._writer)

    async def close(self) -> None:
        """Abandon the stream; a command that still runs is killed by pid."""
        if self._closed:
            return
        await self.detach()
        await self._abandon()
