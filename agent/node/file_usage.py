"""How much of a disk the files below a directory hold, counted as du does. Blocking: for threads."""

from __future__ import annotations

import os
from contextlib import suppress

from agent.node.eviction.pod_usage import FileUsage

BLOCK_BYTES = 512


def measure_directory(root: str) -> FileUsage:
    """Everything below a directory and itself, on its own file system; a file of several names counts once.

    What goes while it is being counted does not count. Raises OSError for a directory that cannot be read.
    """
    status = os.lstat(root)
    device, blocks, inodes = status.st_dev, status.st_blocks, 1
    linked: set[int] = set()
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        try:
            entries = os.scandir(directory)
        except OSError:
            if directory == root:
                raise
            continue
        with entries:
            for entry in entries:
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_dev != device or status.st_ino in linked:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif status.st_nlink > 1:
                        linked.add(status.st_ino)
                    blocks += status.st_blocks
                    inodes += 1
    return FileUsage(used_bytes=blocks * BLOCK_BYTES, inodes=inodes)


def measure_files(paths: list[str]) -> FileUsage:
    """Some files; those that are not there count nothing."""
    blocks = inodes = 0
    for path in paths:
        with suppress(OSError):
            blocks += os.lstat(path).st_blocks
            inodes += 1
    return FileUsage(used_bytes=blocks * BLOCK_BYTES, inodes=inodes)
