"""What happened, line by line, with its virtual time. The hash of all lines stands for the whole run."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable
from typing import TextIO

LINES_KEPT = 400


class Trace:
    """Collects lines. The last ones are kept for a failure; all of them go to `output` if there is one."""

    def __init__(self, seconds: Callable[[], float], output: TextIO | None = None) -> None:
        self._seconds = seconds
        self._output = output
        self._hash = hashlib.sha256()
        self._last: deque[str] = deque(maxlen=LINES_KEPT)
        self.count = 0

    def write(self, actor: str, text: str) -> None:
        """One thing that somebody did, or that happened to somebody."""
        line = f"{self._seconds():10.4f} {actor:<14} {text}"
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        self._last.append(line)
        self.count += 1
        if self._output is not None:
            self._output.write(line + "\n")

    def digest(self) -> str:
        """The hash of everything so far."""
        return self._hash.hexdigest()

    def tail(self, lines: int = LINES_KEPT) -> str:
        """The last lines."""
        return "\n".join(list(self._last)[-lines:])


class TraceLogHandler(logging.Handler):
    """Puts what the programs log into the trace. Errors are what no program foresaw: `on_error` gets them."""

    def __init__(self, trace: Trace, who: Callable[[], str], on_error: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._trace = trace
        self._who = who
        self._on_error = on_error

    def emit(self, record: logging.LogRecord) -> None:
        """Take in one record."""
        text = record.getMessage()
        self._trace.write(self._who(), f"log: {text}")
        if record.levelno >= logging.ERROR:
            detail = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
            self._on_error(f"{text}\n{detail}")
