"""The lock that makes a process the only one of its cluster; `agent/node_lock.py` has one for a node.

The kernel lets go of it when the process ends, however it ends. A process whose supervisor died ends by itself a
moment later: its successor, started by `podling up` in that moment, waits for it.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREDECESSOR_SECONDS_MAX = 10.0
POLL_SECONDS = 0.02


class LockHeldError(Exception):
    """Another process holds the lock and does not end."""


@contextmanager
def only_process(path: Path) -> Iterator[None]:
    """Hold the lock file. Raises LockHeldError if another process keeps it."""
    deadline = time.monotonic() + PREDECESSOR_SECONDS_MAX
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LockHeldError(f"another process holds {path}") from None
                time.sleep(POLL_SECONDS)
        yield
