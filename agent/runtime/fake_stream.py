"""The streams of the fake runtime: an exec or attachment without a process."""

from __future__ import annotations

import asyncio


class FakeStream:
    """Yields prepared output, echoes its input if asked, and ends when told to or by itself after the output."""

    def __init__(self, *, output: bytes, exit_code: int, stays_open: bool = False, echoes: bool = False) -> None:
        """With `stays_open` the stream ends only by `end`, `close` or, where it echoes, the end of its input."""
        self.size: tuple[int, int] | None = None
        self.closed = self.detached = False
        self._code = exit_code
        self._echoes = echoes
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._ended = False
        if output:
            self._chunks.put_nowait(output)
        if not stays_open:
            self.end(exit_code)

    def end(self, exit_code: int) -> None:
        """End the stream; the first end decides the exit code."""
        if not self._ended:
            self._ended, self._code = True, exit_code
            self._chunks.put_nowait(None)

    async def read(self) -> tuple[int, bytes] | None:
        """Next chunk on stdout, or None at the end."""
        chunk = await self._chunks.get()
        if chunk is None:
            self._chunks.put_nowait(None)
            return None
        return 1, chunk

    async def write(self, data: bytes) -> None:
        """Echoed or dropped."""
        if self._echoes and not self._ended:
            self._chunks.put_nowait(data)

    async def close_stdin(self) -> None:
        """Ends an echo."""
        if self._echoes:
            self.end(self._code)

    async def resize(self, width: int, height: int) -> None:
        """Remembered in `size`."""
        self.size = (width, height)

    async def exit_code(self) -> int:
        """As decided by the first end."""
        return self._code

    async def detach(self) -> None:
        """Remembered in `detached`; the command goes on."""
        self.detached = True

    async def close(self) -> None:
        """Abandon: what still ran was killed."""
        self.closed = True
        self.end(137)
