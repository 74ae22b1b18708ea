"""`POST /run/…` and `POST /checkpoint/…`: what may be done to a container without a stream."""

from __future__ import annotations

from aiohttp import web

from agent.runtime.protocol import Runtime, RuntimeFailure
from agent.server.command_client import STDERR
from agent.server.pod_lookup import LookupFailure, PodLookup


class ContainerActions:
    """The handlers."""

    def __init__(self, lookup: PodLookup, runtime: Runtime) -> None:
        self._lookup = lookup
        self._runtime = runtime

    async def run(self, request: web.Request) -> web.Response:
        """Run the command of `cmd`, in which spaces separate words, to its end; answers with its output."""
        names = request.match_info
        _, record = self._lookup.find_running(
            names["namespace"], names["pod"], names["container"], uid=names.get("uid", "")
        )
        text = request.query.get("cmd", "")
        output = {STDERR: bytearray()}
        try:
            command = await self._runtime.open_exec(record.id, text.split(" "))
            while (chunk := await command.read()) is not None:
                output.setdefault(chunk[0], bytearray()).extend(chunk[1])
            code = await command.exit_code()
        except RuntimeFailure as error:
            raise LookupFailure(500, str(error)) from error
        errors = bytes(output.pop(STDERR))
        if code:
            raise LookupFailure(500, f"command '{text}' exited with {code}: {errors.decode('utf-8', 'replace')}")
        return web.Response(body=b"".join(output.values()) + errors, content_type="application/json")

    async def checkpoint(self, request: web.Request) -> web.Response:
        """No container can be: the answer is the kubelet's where the runtime does not know how."""
        names = request.match_info
        place = f"{names['namespace']}/{names['pod']}/{names['container']}"
        self._lookup.find_specified(names["namespace"], names["pod"], names["container"])
        reason = "rpc error: code = Unimplemented desc = method CheckpointContainer not implemented"
        raise LookupFailure(500, f"checkpointing of {place} failed ({reason})")
