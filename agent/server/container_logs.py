"""GET /containerLogs/{namespace}/{pod}/{container}: a container's log, followed if asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from aiohttp import web

from agent.runtime.log_files import read_log
from agent.runtime.log_options import LogOptions
from agent.runtime.protocol import RuntimeFailure
from agent.server.pod_lookup import LookupFailure, PodLookup
from control.api.clock import Clock
from control.api.timestamps import parse_time


class ContainerLogs:
    """The handler."""

    def __init__(self, lookup: PodLookup, clock: Clock) -> None:
        self._lookup = lookup
        self._clock = clock

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        options = parse_log_options(request.query, self._clock.now())
        names = request.match_info
        record = self._lookup.find_logged(
            names["namespace"], names["pod"], names["container"], previous=_flag(request.query, "previous")
        )
        if not record.log_path:
            raise LookupFailure(500, f"the log of container {names['container']} is not kept in a file")

        async def is_running() -> bool:
            return self._lookup.is_running(record.id)

        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            async for chunk in read_log(Path(record.log_path), options, is_running=is_running):
                await response.write(chunk)
        except RuntimeFailure as error:
            await response.write(f"{error}\n".encode())
        except (ConnectionError, RuntimeError):
            return response  # the reader went away
        await response.write_eof()
        return response


def parse_log_options(query: Mapping[str, str], now: datetime) -> LogOptions:
    """Read the query of PodLogOptions. Raises LookupFailure for what is not a number or a time."""
    since: datetime | None = None
    try:
        if query.get("sinceSeconds"):
            since = now - timedelta(seconds=int(query["sinceSeconds"]))
        elif query.get("sinceTime"):
            since = parse_time(query["sinceTime"])
        return LogOptions(
            follow=_flag(query, "follow"),
            tail_lines=int(query["tailLines"]) if query.get("tailLines") else None,
            since=since,
            timestamps=_flag(query, "timestamps"),
            limit_bytes=int(query["limitBytes"]) if query.get("limitBytes") else None,
            stream={"Stdout": "stdout", "Stderr": "stderr"}.get(query.get("stream", ""), ""),
        )
    except ValueError as error:
        raise LookupFailure(400, f"invalid log options: {error}") from error


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("1", "true", "t")
