"""Log entries of Docker's json-file driver and what a reader of logs asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import orjson

from agent.runtime.engine_records import parse_engine_time

_FRACTION_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """As PodLogOptions, with `sinceSeconds` made a time. `stream` is `stdout`, `stderr`, or empty for both."""

    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None
    stream: str = ""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What a container wrote at once; a long line comes as several entries, of which the last ends the line."""

    text: bytes
    stream: str
    time: str


def parse_entry(record: bytes) -> LogEntry | None:
    """Read one record; None for a torn one, as after a power failure."""
    try:
        value = orjson.loads(record)
        return LogEntry(value["log"].encode(), value.get("stream", "stdout"), value["time"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def format_time(time: str) -> str:
    """Docker's time with a fraction of fixed width, as the kubelet prints it."""
    head, dot, rest = time.partition(".")
    fraction = rest.rstrip("Z") if dot else ""
    return f"{head.rstrip('Z')}.{fraction:<0{_FRACTION_DIGITS}.{_FRACTION_DIGITS}}Z"


class LogFilter:
    """Turns entries into output. Stateful: knows whether a line is open, and how many bytes may still follow."""

    def __init__(self, options: LogOptions) -> None:
        """One filter serves one reader."""
        self._options = options
        self._at_line_start = {"stdout": True, "stderr": True}
        self._bytes_left = options.limit_bytes

    @property
    def is_exhausted(self) -> bool:
        """Whether the byte limit is reached."""
        return self._bytes_left is not None and self._bytes_left <= 0

    def render(self, records: Iterable[bytes]) -> bytes:
        """The output of some records."""
        output = b"".join(self._render_entries(records))
        if self._bytes_left is not None:
            output = output[: max(0, self._bytes_left)]
            self._bytes_left -= len(output)
        return output

    def _render_entries(self, records: Iterable[bytes]) -> Iterator[bytes]:
        options = self._options
        for record in records:
            entry = parse_entry(record)
            if entry is None or (options.stream and entry.stream != options.stream):
                continue
            if options.since is not None and (parse_engine_time(entry.time) or options.since) < options.since:
                continue
            if options.timestamps and self._at_line_start.get(entry.stream, True):
                yield f"{format_time(entry.time)} ".encode()
            yield entry.text
            self._at_line_start[entry.stream] = entry.text.endswith(b"\n")
