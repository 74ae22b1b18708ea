"""The engine's images as the Node's status has them: read when the engine says that they changed, and only then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from agent.runtime.events import EventFeed
from agent.runtime.protocol import ImageRecord, Runtime, RuntimeFailure
from control.api.clock import Clock

logger = logging.getLogger(__name__)

# A build or a prune changes many images at once.
SETTLE_SECONDS = 1.0


class ImageList:
    """`images` is current; `listeners` are called when it may have changed."""

    def __init__(self, *, runtime: Runtime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self.listeners: list[Callable[[], None]] = []
        self._changed = asyncio.Event()
        self.images: Sequence[ImageRecord] = ()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the engine until stopped."""
        feed = EventFeed(
            open=self._runtime.image_events,
            clock=self._clock,
            on_event=lambda action: self._changed.set(),
            relist=self._list,
        )
        listing = asyncio.ensure_future(self._list_changes())
        try:
            await feed.run(stop)
        finally:
            listing.cancel()

    async def _list_changes(self) -> None:
        while True:
            await self._changed.wait()
            await self._clock.sleep(SETTLE_SECONDS)
            self._changed.clear()
            try:
                await self._list()
            except RuntimeFailure as error:
                # An engine that is gone is listed when its events come back.
                logger.warning("Cannot list the engine's images error=%s", error)

    async def _list(self) -> None:
        self.images = await self._runtime.list_images()
        for listener in self.listeners:
            listener()
