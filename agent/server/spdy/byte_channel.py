"""What a SPDY connection runs on: bytes both ways, at the peer's pace. An upgraded socket, or a tunnel in WebSocket."""

from __future__ import annotations

from typing import Protocol


class ByteChannel(Protocol):
    """A reliable duplex of bytes with one reader and many writers."""

    async def read(self) -> bytes:
        """What came next; empty at the end. Not reading holds the peer back."""
        ...

    async def write(self, content: bytes) -> None:
        """Send, whole and in the order of calls; returns when there is room again. Raises ConnectionError."""
        ...

    async def close(self) -> None:
        """End both directions; what was written is still sent."""
        ...
