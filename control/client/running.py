"""How coroutines end: a loop with its stop event (`run_until`), several with the last of them (`run_together`)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_until(stop: asyncio.Event, loop: Coroutine[Any, Any, None]) -> None:
    """Run `loop` until it returns, fails (raises) or `stop` is set. Whoever cancels this call cancels the loop too."""
    task = asyncio.ensure_future(loop)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pending in (task, stopping):
            pending.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


async def run_together(*steps: Coroutine[Any, Any, None]) -> None:
    """See every step to its end, whatever becomes of the others; then raise what the first that failed raised."""
    for result in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
