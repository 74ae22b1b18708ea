"""One `up` at a time chooses ports and ranges on a host: what is chosen shows to others only once it is in use."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from control.cli.failure import CommandError

WAIT_SECONDS_MAX = 120.0
POLL_SECONDS = 0.05


@contextmanager
def choosing_on_host() -> Iterator[None]:
    """Hold the host's lock from choosing until what was chosen is in use. Raises CommandError after a long wait.

    A lock without a file, on a directory that every host has: clusters of other users and of other data directories
    take part, and nothing is left behind.
    """
    descriptor = os.open(tempfile.gettempdir(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise CommandError(
                    "other podling commands on this host have been starting clusters for two minutes", "try again"
                ) from None
            time.sleep(POLL_SECONDS)
