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

_STREAMS = {"": "", "All": "", "Stdout": "stdout", "Stderr": "stderr"}
_FALSE = ("false", "0")


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
    """Read the query of PodLogOptions, and the `tail` of old clients. Raises LookupFailure in the kubelet's words."""
    try:
        tail = query.get("tail") or query.get("tailLines") or ""
        tail_lines = int(tail) if tail not in ("", "all") else None
        limit_bytes = _number(query, "limitBytes")
        since_seconds = _number(query, "sinceSeconds")
        since = parse_time(query["sinceTime"]) if query.get("sinceTime") else None
    except ValueError as error:
        raise LookupFailure(400, '{"message": "Unable to decode query."}') from error
    stream = query.get("stream", "")
    is_valid = (
        (tail_lines is None or tail_lines >= 0)
        and (limit_bytes is None or limit_bytes >= 1)
        and (since_seconds is None or (since_seconds >= 1 and since is None))
        and stream in _STREAMS
        and (tail_lines is None or not _STREAMS[stream])
    )
    if not is_valid:
        raise LookupFailure(422, '{"message": "Invalid request."}')
    return LogOptions(
        follow=_flag(query, "follow"),
        tail_lines=tail_lines,
        since=since if since_seconds is None else now - timedelta(seconds=since_seconds),
        timestamps=_flag(query, "timestamps"),
        limit_bytes=limit_bytes,
        stream=_STREAMS[stream],
    )


def _number(query: Mapping[str, str], name: str) -> int | None:
    return int(query[name]) if query.get(name) else None


def _flag(query: Mapping[str, str], name: str) -> bool:
    """Present and neither `false` nor `0`, as the API reads booleans."""
    return name in query and query[name].lower() not in _FALSE
