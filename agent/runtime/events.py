"""A stream of the engine's events, for ever: reopened when it breaks, with a re-list at every opening.

Events only wake; the re-list is what makes sure that nothing was missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from agent.runtime.protocol import EngineUnavailableError, RuntimeFailure
from control.api.clock import Clock
from control.client.running import run_until

log = logging.getLogger(__name__)

E = TypeVar("E")

REOPEN_SECONDS_FIRST = 0.1
REOPEN_SECONDS_MAX = 5.0


class EventFeed(Generic[E]):
    """Hands every event to `on_event` and calls `relist` whenever events may have been missed."""

    def __init__(
        self,
        *,
        open: Callable[[], AsyncIterator[E]],
        clock: Clock,
        on_event: Callable[[E], None],
        relist: Callable[[], Awaitable[None]],
    ) -> None:
        """`relist` may raise RuntimeFailure: the feed waits and tries again."""
        self._open = open
        self._clock = clock
        self._on_event = on_event
        self._relist = relist
        self._delay_seconds = REOPEN_SECONDS_FIRST

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped."""
        while not stop.is_set():
            await run_until(stop, self._turn())

    async def _turn(self) -> None:
        try:
            await self.step()
        except RuntimeFailure as error:
            log.warning("Reopens the engine's events", extra={"error": str(error), "seconds": self._delay_seconds})
            await self._clock.sleep(self._delay_seconds)
            self._delay_seconds = min(REOPEN_SECONDS_MAX, self._delay_seconds * 2)

    async def step(self) -> None:
        """One opening: open, re-list, deliver until the stream breaks. Raises EngineUnavailableError.

        The stream starts at the moment of opening, so the re-list that follows sees whatever came before it.
        """
        events = aiter(self._open())
        upcoming = asyncio.ensure_future(anext(events))
        try:
            await asyncio.sleep(0)  # lets the stream open first
            await self._relist()
            self._delay_seconds = REOPEN_SECONDS_FIRST
            with contextlib.suppress(StopAsyncIteration):
                self._on_event(await upcoming)
                async for event in events:
                    self._on_event(event)
            raise EngineUnavailableError("lost the engine's events")
        finally:
            upcoming.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await upcoming
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()
