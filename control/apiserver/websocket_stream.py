"""A stream of bytes as WebSocket messages, one way: how a browser reads a log (RFC 6455; apimachinery's wsstream).

The first message is empty and says that the stream has begun. What the client sends is read and dropped; a client that
closes ends the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from hashlib import sha1
from typing import Final

from control.api.errors import ApiError
from control.api.exchange import ApiResponse, RawConnection

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FINAL, _TEXT, _BINARY, _CLOSE = 0x80, 0x1, 0x2, 0x8
_NORMAL_CLOSURE: Final = (1000).to_bytes(2, "big")
_MESSAGE_BYTES_MAX: Final = 2048
_READ_BYTES: Final = 4096


def _as_binary(chunk: bytes) -> bytes:
    return _frame(_BINARY, chunk)


def _as_base64(chunk: bytes) -> bytes:
    return _frame(_TEXT, b64encode(chunk))


#: subprotocol -> how a chunk becomes a message; a client that names none gets binary ones
SUBPROTOCOLS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "": _as_binary,
    "binary.k8s.io": _as_binary,
    "base64.binary.k8s.io": _as_base64,
}


def is_websocket_request(headers: Mapping[str, str]) -> bool:
    """Whether a client wants to leave HTTP for a WebSocket."""
    connection = [item.strip() for item in headers.get("connection", "").lower().split(",")]
    return "upgrade" in connection and headers.get("upgrade", "").lower() == "websocket"


def websocket_response(headers: Mapping[str, str], stream: AsyncIterator[bytes]) -> ApiResponse:
    """Answer a WebSocket request with a stream. Raises ApiError 403 for subprotocols nobody speaks, 400 without key."""
    key = headers.get("sec-websocket-key", "")
    if not key:
        raise ApiError(400, "BadRequest", "unable to upgrade: Sec-WebSocket-Key is missing")
    subprotocol = _choose_subprotocol(headers.get("sec-websocket-protocol", ""))
    accept = b64encode(sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {accept}")
    if subprotocol:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")

    async def take_over(client: RawConnection) -> None:
        await _serve(client, head, stream, SUBPROTOCOLS[subprotocol])

    return ApiResponse(status=101, take_over=take_over)


def _choose_subprotocol(offered: str) -> str:
    names = [name.strip() for name in offered.split(",") if name.strip()]
    chosen = next((name for name in names if name in SUBPROTOCOLS), "")
    if names and not chosen:
        raise ApiError(403, "Forbidden", f"requested protocol(s) are not supported: {names}")
    return chosen


async def _serve(
    client: RawConnection, head: bytes, stream: AsyncIterator[bytes], encode: Callable[[bytes], bytes]
) -> None:
    """Write until the stream ends or the client goes, whichever comes first."""
    writing = asyncio.ensure_future(_write(client, head, stream, encode))
    leaving = asyncio.ensure_future(_read_until_closed(client))
    try:
        await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (writing, leaving):
            task.cancel()
        await asyncio.gather(writing, leaving, return_exceptions=True)
        client.writer.close()


async def _write(
    client: RawConnection, head: bytes, stream: AsyncIterator[bytes], encode: Callable[[bytes], bytes]
) -> None:
    with contextlib.suppress(OSError):
        client.writer.write(head + encode(b""))
        async for chunk in stream:
            for start in range(0, len(chunk), _MESSAGE_BYTES_MAX):
                client.writer.write(encode(chunk[start : start + _MESSAGE_BYTES_MAX]))
            await client.writer.drain()
        client.writer.write(_frame(_CLOSE, _NORMAL_CLOSURE))
        await client.writer.drain()


async def _read_until_closed(client: RawConnection) -> None:
    """Drop what comes. A close frame is the last thing that a client sends."""
    with contextlib.suppress(OSError):
        while data := await client.reader.read(_READ_BYTES):
            if data[0] & 0x0F == _CLOSE:
                return


def _frame(opcode: int, payload: bytes) -> bytes:
    """One unfragmented frame; a server's are not masked (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 1 << 16:
        length = bytes([126]) + size.to_bytes(2, "big")
    else:
        length = bytes([127]) + size.to_bytes(8, "big")
    return bytes([_FINAL | opcode]) + length + payload
