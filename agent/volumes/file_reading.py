"""Reading one file of a volume for the agent itself, without following links that its containers may have left."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from agent.volumes.protocol import VolumeError

FILE_BYTES_MAX = 1 << 20


def read_volume_file(root: Path, path: str) -> str | None:
    """The text of a regular file below `root`, or None if there is none. Blocking. Raises VolumeError."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise VolumeError(f'path "{path}" must be relative and not contain ".."')
    try:
        descriptor = _open_below(root, parts)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise VolumeError(f'cannot open "{path}" of the volume: {error.strerror}') from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise VolumeError(f'"{path}" of the volume is not a regular file')
    with open(descriptor, "rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise VolumeError(f'"{path}" of the volume is larger than {FILE_BYTES_MAX} bytes')
    return content.decode("utf-8", "replace")


def _open_below(root: Path, parts: tuple[str, ...]) -> int:
    """Open step by step; a link anywhere is an error (ELOOP), as is a directory that is none (ENOTDIR)."""
    current = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for index, part in enumerate(parts):
        kind = os.O_NONBLOCK if index == len(parts) - 1 else os.O_DIRECTORY
        try:
            following = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=current)
        finally:
            os.close(current)
        current = following
    return current
