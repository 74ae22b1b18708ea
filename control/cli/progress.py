"""Progress of slow steps on the terminal: `what ... seconds`. Goes to stderr, so that stdout stays for results."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(text: str) -> Iterator[None]:
    """Print the step, then its duration in seconds or that it failed."""
    live = sys.stderr.isatty()
    if live:
        print(f"  {text} ...", end="", file=sys.stderr, flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print(("\r" if live else "") + f"✗ {text}", file=sys.stderr)
        raise
    print(("\r" if live else "") + f"✓ {text} ({time.monotonic() - started:.1f} s)", file=sys.stderr)
