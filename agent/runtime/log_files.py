"""Reading containers' logs from the files of Docker's json-file driver, which is much cheaper than asking the engine.

A log is `<id>-json.log` and its rotated predecessors `.1` (newest) to `.N`. A follower goes on through rotations, and
ends when the container has stopped and everything is read.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from agent.runtime.file_watch import FileWatch
from agent.runtime.log_options import LogFilter, LogOptions
from agent.runtime.protocol import RuntimeFailure

BLOCK_BYTES = 256 * 1024
# How long a follower may miss that the container has stopped: that writes nothing to the log.
STOP_CHECK_SECONDS = 0.25
_LINE_END = b'\\n","stream"'


async def read_log(
    path: Path, options: LogOptions, *, is_running: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """Yield the log as options say. A log that does not exist yet is empty; one that may not be read is an error."""
    output = LogFilter(options)
    if options.limit_bytes is not None and options.limit_bytes <= 0:
        return
    try:
        watch = FileWatch(path.parent) if options.follow else None
        try:
            async for chunk in _read_chunks(path, options, watch, is_running):
                text = output.render(chunk)
                if text:
                    yield text
                if output.is_exhausted:
                    return
        finally:
            if watch is not None:
                watch.close()
    except PermissionError as error:
        raise RuntimeFailure(f"cannot read container log {path}: {error.strerror}", retryable=False) from error


async def _read_chunks(
    path: Path, options: LogOptions, watch: FileWatch | None, is_running: Callable[[], Awaitable[bool]]
) -> AsyncIterator[list[bytes]]:
    """Whole records, block by block."""
    position = _Position(path)
    try:
        if options.tail_lines is not None:
            position.seek_tail(options.tail_lines)
        else:
            position.seek_start()
        while True:
            records = position.read_records()
            if records:
                yield records
                await asyncio.sleep(0)
                continue
            if watch is None:
                return
            if not await is_running():
                if records := position.read_records():
                    yield records
                    continue
                return
            await watch.wait(STOP_CHECK_SECONDS)
    finally:
        position.close()


class _Position:
    """Where a reader is in a log of several files. Holds the open file, so that a rotation takes nothing away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._pending = b""

    def seek_start(self) -> None:
        """To the oldest record there is."""
        files = log_files(self._path)
        if files:
            self._file = files[0].open("rb")

    def seek_tail(self, lines: int) -> None:
        """To the record that begins the last `lines` lines."""
        wanted = lines
        for path in reversed(log_files(self._path)):
            self.close()
            self._file = path.open("rb")
            offset, found = _find_tail(self._file, wanted)
            self._file.seek(offset)
            wanted -= found
            if wanted <= 0:
                return

    def read_records(self) -> list[bytes]:
        """The next records; none at the end of what has been written."""
        if self._file is None:
            self.seek_start()
        while self._file is not None:
            block = self._file.read(BLOCK_BYTES)
            if block:
                *records, self._pending = (self._pending + block).split(b"\n")
                if records:
                    return records
                continue
            following = self._following_file()
            if following is None:
                return []
            self.close()
            self._file, self._pending = following, b""
        return []

    def _following_file(self) -> BinaryIO | None:
        """The file after the current one, which a rotation has renamed meanwhile; None while it is the newest."""
        assert self._file is not None
        current = os.fstat(self._file.fileno()).st_ino
        files = log_files(self._path)
        inodes = [path.stat().st_ino for path in files]
        if not files or inodes[-1] == current:
            return None
        # A file that is no longer there was rotated away entirely: go on with the oldest that is left.
        index = inodes.index(current) + 1 if current in inodes else 0
        return files[index].open("rb")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def log_files(path: Path) -> list[Path]:
    """The files of a log, the oldest first."""
    rotated = [entry for entry in path.parent.glob(f"{path.name}.*") if entry.name[len(path.name) + 1 :].isdigit()]
    rotated.sort(key=lambda entry: int(entry.name[len(path.name) + 1 :]), reverse=True)
    return [*rotated, path] if path.exists() else rotated


def _find_tail(file: BinaryIO, lines: int) -> tuple[int, int]:
    """Offset where the last `lines` lines begin, and how many lines follow it (fewer if the file has not so many)."""
    count = 0
    start = file.seek(0, os.SEEK_END)
    for offset, record in _records_backwards(file):
        if _LINE_END in record or not count:
            if count == lines:
                return start, count
            count += 1
        start = offset
    return 0, count


def _records_backwards(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(offset, record) from the last to the first; a record that is still being written is left out."""
    end = file.seek(0, os.SEEK_END)
    rest, is_ended = b"", False
    while end > 0:
        begin = max(0, end - BLOCK_BYTES)
        file.seek(begin)
        block = file.read(end - begin) + rest
        lines = block.split(b"\n")
        offset = begin + len(block)
        for line in reversed(lines[1:]):
            offset -= len(line)
            if line and is_ended:
                yield offset, line
            offset -= 1
            is_ended = True
        rest, end = lines[0], begin
    if rest and is_ended:
        yield 0, rest
