"""Small files that containers see, written in as few system calls as it takes: each Pod that starts has several."""

from __future__ import annotations

import os
from pathlib import Path


def write_small_file(path: Path, content: bytes, *, mode: int) -> None:
    """Make or overwrite a file in place (its inode stays), with this mode whatever the umask. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        while content:
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)
