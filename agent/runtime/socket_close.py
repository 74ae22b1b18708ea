"""Closing a socket whose peer may have stopped reading."""

from __future__ import annotations

import asyncio

FLUSH_SECONDS_MAX = 10.0


def close_socket(writer: asyncio.StreamWriter) -> None:
    """Close after what was written is sent, but not later than after a few seconds: asyncio would wait for ever."""
    transport = writer.transport
    has_unsent = not transport.is_closing() and transport.get_write_buffer_size() > 0
    writer.close()
    if has_unsent:
        asyncio.get_running_loop().call_later(FLUSH_SECONDS_MAX, transport.abort)
