"""How a loop ends: `run_until` runs a coroutine and cancels it when the stop event is set."""

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
