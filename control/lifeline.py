"""The lifeline of a supervised process: its standard input, a pipe whose other end the supervisor holds.

When the supervisor ends, however it ends, the pipe closes and the process stops by itself, so that a cluster never
has two control planes or two agents of one node. The agent has the same few lines in `agent/main.py`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable


def on_supervisor_gone(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Call `stop` when standard input closes."""
    descriptor = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(descriptor, 1):
            loop.remove_reader(descriptor)
            stop()

    loop.add_reader(descriptor, readable)
