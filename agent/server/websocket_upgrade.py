"""The WebSocket handshake of the node API's streams."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from agent.server.pod_lookup import LookupFailure

MESSAGE_BYTES_MAX = 32 << 20


def is_websocket(request: web.Request) -> bool:
    """Whether the client asks for WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


def offered_protocols(request: web.Request) -> list[str]:
    """The subprotocols that the client speaks, its favourite first."""
    values = request.headers.getall("Sec-WebSocket-Protocol", [])
    return [item.strip() for value in values for item in value.split(",") if item.strip()]


async def accept_websocket(request: web.Request, protocols: Sequence[str]) -> web.WebSocketResponse:
    """Upgrade. A client that names no protocol of ours is refused, one that names none at all gets the oldest.

    There is no heartbeat: a client whose input the command does not read is not read either, so its pongs may be
    minutes late. Raises LookupFailure.
    """
    offered = offered_protocols(request)
    if offered and not set(offered) & set(protocols):
        raise LookupFailure(
            403, f"requested protocol(s) are not supported: [{' '.join(offered)}]; supports [{' '.join(protocols)}]"
        )
    socket = web.WebSocketResponse(protocols=protocols, max_msg_size=MESSAGE_BYTES_MAX, compress=False)
    if not socket.can_prepare(request).ok:
        raise LookupFailure(400, "unable to upgrade: malformed WebSocket request")
    await socket.prepare(request)
    return socket
