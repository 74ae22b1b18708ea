"""What programs ask the system for comes from the seed instead."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from control.apiserver.registry import uids


@contextmanager
def determinism(seed: int) -> Iterator[None]:
    """Bytes and numbers that programs ask the system for come from the seed; the collector runs when told to.

    What a seed leaves behind is old by its end, so nothing but a full collection finds it. Freezing what was there
    before keeps that cheap.
    """
    source = random.Random(f"{seed}/system")
    uids._pool.clear()
    random.seed(f"{seed}/global")
    gc.disable()
    gc.freeze()
    try:
        with mock.patch("os.urandom", source.randbytes):
            yield
    finally:
        uids._pool.clear()
        gc.collect()
        gc.unfreeze()
        gc.enable()
