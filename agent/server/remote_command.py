"""Exec and attach: a client on one side, a process on the other, bytes at the pace of the slower one.

A client that leaves ends the command's input, and leaves the command running, as the kubelet does; a command or
container that ends takes the client with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from agent.pods.pod_spec import find_container
from agent.runtime.protocol import ContainerRecord, ExecStream, Runtime, RuntimeFailure
from agent.server.command_client import STDERR, SUCCESS, CommandClient, exit_status, failure_status
from agent.server.pod_lookup import LookupFailure, PodLookup
from agent.server.stream_options import StreamOptions, parse_stream_options
from agent.server.websocket_upgrade import is_websocket
from control.api.objects import ReadOnlyObject


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What a client is to be connected to."""

    open: Callable[[], Awaitable[ExecStream]]
    failure: str
    reports_exit: bool


class RemoteCommand:
    """The handlers of /exec and /attach."""

    def __init__(self, lookup: PodLookup, runtime: Runtime) -> None:
        self._lookup = lookup
        self._runtime = runtime

    async def exec(self, request: web.Request) -> web.StreamResponse:
        """Run a command in a container."""
        names = request.match_info
        options = parse_stream_options(request.query)
        command = request.query.getall("command", [])
        if not command:
            raise LookupFailure(400, "you must specify a command")
        _, record = self._find(names)

        def open_stream() -> Awaitable[ExecStream]:
            return self._runtime.open_exec(record.id, command, stdin=options.stdin, tty=options.tty)

        work = _Work(open=open_stream, failure="error executing command in container", reports_exit=True)
        return await _serve(request, options, work)

    def _find(self, names: Mapping[str, str]) -> tuple[ReadOnlyObject, ContainerRecord]:
        return self._lookup.find_running(names["namespace"], names["pod"], names["container"], uid=names.get("uid", ""))

    async def attach(self, request: web.Request) -> web.StreamResponse:
        """Join the streams of a container's first process."""
        names = request.match_info
        options = parse_stream_options(request.query)
        pod, record = self._find(names)
        # Whether the engine's stream has frames depends on the container, not on what the client thinks of it.
        container = find_container(pod, names["container"]) or {}
        tty, stdin_once = bool(container.get("tty")), bool(container.get("stdinOnce"))

        def open_stream() -> Awaitable[ExecStream]:
            return self._runtime.open_attach(record.id, stdin=options.stdin, stdin_once=stdin_once, tty=tty)

        work = _Work(open=open_stream, failure="error attaching to container", reports_exit=False)
        return await _serve(request, options, work)


async def _serve(request: web.Request, options: StreamOptions, work: _Work) -> web.StreamResponse:
    client, response = await _accept(request, options)
    try:
        await _connect(client, options, work)
    except ConnectionError:
        pass  # The client has gone: there is nobody to tell.
    finally:
        await client.close()
    return response


async def _accept(request: web.Request, options: StreamOptions) -> tuple[CommandClient, web.StreamResponse]:
    if is_websocket(request):
        from agent.server.websocket_command import WebSocketCommandClient

        return await WebSocketCommandClient.accept(request, options)
    from agent.server.spdy.command import SpdyCommandClient

    return await SpdyCommandClient.accept(request, options)


async def _connect(client: CommandClient, options: StreamOptions, work: _Work) -> None:
    try:
        command = await work.open()
    except RuntimeFailure as error:
        await client.finish(failure_status(f"{work.failure}: {error}"))
        return
    feeding = asyncio.ensure_future(client.feed(command))
    copying = asyncio.ensure_future(_copy_out(command, client, options))
    try:
        await asyncio.wait({feeding, copying}, return_when=asyncio.FIRST_COMPLETED)
        if not copying.done():
            return
        copying.result()
        await client.finish(exit_status(await command.exit_code()) if work.reports_exit else SUCCESS)
    finally:
        for task in (feeding, copying):
            task.cancel()
        await asyncio.gather(feeding, copying, return_exceptions=True)
        with contextlib.suppress(RuntimeFailure):
            await command.detach()


async def _copy_out(command: ExecStream, client: CommandClient, options: StreamOptions) -> None:
    """Process to client. Returns at the end of the process's output."""
    while (chunk := await command.read()) is not None:
        channel, content = chunk
        wanted = options.stderr if channel == STDERR else options.stdout
        if wanted and content:
            await client.send(channel, content)
