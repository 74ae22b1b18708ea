"""Waiting for a change in a directory: inotify where there is one, else a short sleep."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
from pathlib import Path

_MODIFY, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x002, 0x040, 0x080, 0x100, 0x200
_EVENT_BYTES = 4096
POLL_SECONDS = 0.1


class FileWatch:
    """Wakes when a file in the directory is written, made, renamed or deleted. Changes before a `wait` are not lost."""

    def __init__(self, directory: Path) -> None:
        """Starts watching; without inotify, or without the directory, every wait is a short sleep."""
        self._descriptor = _open_watch(directory)
        self._changed = asyncio.Event()
        if self._descriptor >= 0:
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    @property
    def is_watching(self) -> bool:
        """Whether the system tells of changes; otherwise a wait is a short sleep."""
        return self._descriptor >= 0

    async def wait(self, seconds_max: float) -> None:
        """Return at the next change, or after that time."""
        if self._descriptor < 0:
            await asyncio.sleep(min(seconds_max, POLL_SECONDS))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds_max):
                await self._changed.wait()
        self._changed.clear()

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, _EVENT_BYTES)
        self._changed.set()


def _open_watch(directory: Path) -> int:
    if sys.platform != "linux":
        return -1
    library = ctypes.CDLL(None, use_errno=True)
    descriptor: int = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        return -1
    mask = _MODIFY | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
    if library.inotify_add_watch(descriptor, os.fsencode(directory), mask) < 0:
        os.close(descriptor)
        return -1
    return descriptor
