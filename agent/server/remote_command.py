"""Exec and attach over WebSocket: v4.channel.k8s.io and v5.channel.k8s.io.

Each message begins with its channel: 0 stdin, 1 stdout, 2 stderr, 3 the outcome as a Status, 4 terminal sizes; in v5
also 255, which closes a channel. Upstream: k8s.io/apimachinery/pkg/util/remotecommand, kubelet's cri/streaming.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from agent.runtime.protocol import ExecStream, Runtime, RuntimeFailure
from agent.server.pod_lookup import LookupFailure, PodLookup

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
MESSAGE_BYTES_MAX = 32 << 20
PING_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Which streams the client wants. The API server's names and the kubelet's own are both read."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


def parse_stream_options(query: Mapping[str, str]) -> StreamOptions:
    """Read the query. Raises LookupFailure if no stream is asked for."""

    def flag(*names: str) -> bool:
        return any(query.get(name, "").lower() in ("1", "true") for name in names)

    options = StreamOptions(
        stdin=flag("input", "stdin"), stdout=flag("output", "stdout"), stderr=flag("error", "stderr"), tty=flag("tty")
    )
    if not (options.stdin or options.stdout or options.stderr):
        raise LookupFailure(400, "you must specify at least 1 of stdin, stdout, stderr")
    return options


class RemoteCommand:
    """The handlers of /exec and /attach."""

    def __init__(self, lookup: PodLookup, runtime: Runtime) -> None:
        self._lookup = lookup
        self._runtime = runtime

    async def exec(self, request: web.Request) -> web.StreamResponse:
        """Run a command in a container."""
        names = request.match_info
        _refuse_spdy(request)
        options = parse_stream_options(request.query)
        command = request.query.getall("command", [])
        if not command:
            raise LookupFailure(400, "you must specify a command")
        _, record = self._lookup.find_running(names["namespace"], names["pod"], names["container"])
        socket = await _accept(request, options)
        try:
            stream = await self._runtime.open_exec(record.id, command, stdin=options.stdin, tty=options.tty)
        except RuntimeFailure as error:
            await _end(socket, _failure(f"error executing command in container: {error}"))
            return socket
        await _splice(socket, stream, options)
        return socket

    async def attach(self, request: web.Request) -> web.StreamResponse:
        """Join the streams of a container's first process."""
        names = request.match_info
        _refuse_spdy(request)
        options = parse_stream_options(request.query)
        _, record = self._lookup.find_running(names["namespace"], names["pod"], names["container"])
        socket = await _accept(request, options)
        try:
            stream = await self._runtime.open_attach(record.id, stdin=options.stdin, tty=options.tty)
        except RuntimeFailure as error:
            await _end(socket, _failure(f"error attaching to container: {error}"))
            return socket
        await _splice(socket, stream, options, reports_exit=False)
        return socket


def _refuse_spdy(request: web.Request) -> None:
    """What cannot be upgraded gets a reason that the client shows."""
    upgrade = request.headers.get("Upgrade", "").lower()
    if upgrade.startswith("spdy/"):
        raise LookupFailure(
            400, "this node does not speak SPDY/3.1 yet; use a client that speaks WebSocket (kubectl 1.31 or newer)"
        )
    if upgrade != "websocket":
        raise LookupFailure(400, "unable to upgrade: expected a WebSocket request")


async def _accept(request: web.Request, options: StreamOptions) -> web.WebSocketResponse:
    """Upgrade; an empty message on a writable channel tells the client that the stream stands."""
    socket = web.WebSocketResponse(
        protocols=PROTOCOLS, max_msg_size=MESSAGE_BYTES_MAX, heartbeat=PING_SECONDS, compress=False
    )
    if not socket.can_prepare(request).ok:
        raise LookupFailure(400, "unable to upgrade: malformed WebSocket request")
    await socket.prepare(request)
    channel = STDOUT if options.stdout else STDERR if options.stderr else ERROR
    await socket.send_bytes(bytes([channel]))
    return socket


async def _splice(
    socket: web.WebSocketResponse, stream: ExecStream, options: StreamOptions, *, reports_exit: bool = True
) -> None:
    """Copy both ways until the process or the client ends, then report."""
    copying_in = asyncio.ensure_future(_copy_in(socket, stream))
    copying_out = asyncio.ensure_future(_copy_out(socket, stream, options))
    try:
        await asyncio.wait({copying_in, copying_out}, return_when=asyncio.FIRST_COMPLETED)
        if not copying_out.done():
            return  # The client went away: close() below ends the command.
        with contextlib.suppress(ConnectionError):
            status = _success() if not reports_exit else await _outcome(stream)
            await _end(socket, status)
    finally:
        for task in (copying_in, copying_out):
            task.cancel()
        await asyncio.gather(copying_in, copying_out, return_exceptions=True)
        with contextlib.suppress(RuntimeFailure):
            await stream.close()


async def _copy_in(socket: web.WebSocketResponse, stream: ExecStream) -> None:
    """Client to process. Returns when the client has closed the connection."""
    async for message in socket:
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
            continue
        data = message.data.encode() if isinstance(message.data, str) else message.data
        if not data:
            continue
        channel, payload = data[0], data[1:]
        if channel == STDIN and payload:
            await stream.write(payload)
        elif channel == RESIZE:
            await _resize(stream, payload)
        elif channel == CLOSE and payload[:1] == bytes([STDIN]):
            await stream.close_stdin()


async def _resize(stream: ExecStream, payload: bytes) -> None:
    with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError, ValueError, RuntimeFailure):
        size = orjson.loads(payload)
        width, height = int(size["Width"]), int(size["Height"])
        if width > 0 and height > 0:
            await stream.resize(width, height)


async def _copy_out(socket: web.WebSocketResponse, stream: ExecStream, options: StreamOptions) -> None:
    """Process to client. Returns at the end of the process's output."""
    while (chunk := await stream.read()) is not None:
        channel, data = chunk
        wanted = options.stderr if channel == STDERR else options.stdout
        if wanted and data:
            await socket.send_bytes(bytes([channel]) + data)


async def _outcome(stream: ExecStream) -> dict[str, Any]:
    code = await stream.exit_code()
    if code == 0:
        return _success()
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _success() -> dict[str, Any]:
    return {"metadata": {}, "status": "Success"}


def _failure(message: str) -> dict[str, Any]:
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }


async def _end(socket: web.WebSocketResponse, status: dict[str, Any]) -> None:
    await socket.send_bytes(bytes([ERROR]) + orjson.dumps(status))
    await socket.close()
