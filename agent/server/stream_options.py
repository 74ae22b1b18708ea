"""Which streams a client of exec or attach wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.server.pod_lookup import LookupFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """The streams; a terminal has no stderr of its own."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


def parse_stream_options(query: Mapping[str, str]) -> StreamOptions:
    """Read the query: the API server's names and the kubelet's own. Raises LookupFailure if it asks for no stream."""

    def flag(*names: str) -> bool:
        return any(query.get(name, "").lower() in ("1", "true") for name in names)

    tty = flag("tty")
    options = StreamOptions(
        stdin=flag("input", "stdin"),
        stdout=flag("output", "stdout"),
        stderr=flag("error", "stderr") and not tty,
        tty=tty,
    )
    if not (options.stdin or options.stdout or options.stderr):
        raise LookupFailure(400, "you must specify at least 1 of stdin, stdout, stderr")
    return options
