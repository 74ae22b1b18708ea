"""`CacheEvent`, encoded once for all who receive it, and `Watcher`, one receiver with a bounded buffer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from control.apiserver.cache.encoding import CachedObject

ADDED = "ADDED"
MODIFIED = "MODIFIED"
DELETED = "DELETED"
BOOKMARK = "BOOKMARK"

#: Events a watcher may have waiting. One that falls further behind is ended; its client resumes where it was.
BUFFER_EVENTS_MAX = 10_000


class CacheEvent:
    """One change, or a bookmark.

    For DELETED `cached` is the last content under the deletion's revision. `previous` is what the change replaced: a
    selector may make an ADDED or DELETED of a MODIFIED. Bookmarks have no object; `is_initial_end` marks the one that
    ends the initial events.
    """

    __slots__ = ("_encoded", "cached", "is_initial_end", "previous", "revision", "type")

    def __init__(
        self,
        type: str,
        revision: int,
        cached: CachedObject | None,
        previous: CachedObject | None = None,
        *,
        is_initial_end: bool = False,
    ) -> None:
        self.type = type
        self.revision = revision
        self.cached = cached
        self.previous = previous
        self.is_initial_end = is_initial_end
        self._encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        """The event as a line of a watch stream. Not for bookmarks, whose object depends on the kind."""
        if self._encoded is None:
            assert self.cached is not None
            self._encoded = b'{"type":"%b","object":%b}\n' % (self.type.encode(), self.cached.encoded)
        return self._encoded

    def forget_derived(self) -> None:
        """Keep what the rest can be made of again: few ask for an event that is no longer news."""
        self._encoded = None
        if self.cached is not None:
            self.cached.forget_decoded()

    def seen_by(self, matches: Callable[[CachedObject], bool]) -> CacheEvent | None:
        """The event as a watcher with a selector sees it: an object that leaves its view is DELETED, and so on."""
        if self.cached is None:
            return self
        is_visible = self.type != DELETED and matches(self.cached)
        was_visible = self.previous is not None and matches(self.previous)
        if is_visible:
            seen_type = MODIFIED if was_visible else ADDED
            return self if seen_type == self.type else CacheEvent(seen_type, self.revision, self.cached, self.previous)
        if not was_visible:
            return None
        if self.type == DELETED:
            return self
        assert self.previous is not None
        return CacheEvent(DELETED, self.revision, self.previous.at_revision(self.revision), self.previous)


class WatchScope(NamedTuple):
    """Which objects a watcher or a list is about, as far as an index can tell; selectors narrow it further.

    At most one of `key` and `indexed` (name and value of an index) is set. A tuple, since every event looks for the
    watchers of several.
    """

    namespace: str = ""
    key: str = ""
    indexed: tuple[str, str] | None = None


class Watcher:
    """An asynchronous iterator over batches of events: one batch per wake-up, all that has happened since."""

    def __init__(
        self,
        scope: WatchScope,
        on_close: Callable[[Watcher], None],
        *,
        wants_bookmarks: bool = False,
        after_revision: int = 0,
    ) -> None:
        self.scope = scope
        self.wants_bookmarks = wants_bookmarks
        self._after_revision = after_revision
        self.is_overrun = False
        self._on_close = on_close
        self._buffer: list[CacheEvent] = []
        self._waiter: asyncio.Future[None] | None = None
        self._is_closed = False
        self._initial_count = 0

    def offer_initial(self, events: list[CacheEvent]) -> None:
        """Put in what the watch starts with, however much it is."""
        self._buffer += events
        self._initial_count = len(events)
        self._wake()

    def offer(self, event: CacheEvent) -> None:
        """Put in one event; ends the watcher if it does not keep up."""
        if event.revision < self._after_revision or (event.cached and event.revision == self._after_revision):
            return  # the watch starts at a revision that was in the future; a bookmark may name it
        if len(self._buffer) - self._initial_count >= BUFFER_EVENTS_MAX:
            self.is_overrun = True
            self.close()
            return
        self._buffer.append(event)
        self._wake()

    def close(self) -> None:
        """End the iteration. What is buffered but not taken is dropped: the client resumes from what it has seen."""
        if self._is_closed:
            return
        self._is_closed = True
        self._buffer.clear()
        self._on_close(self)
        self._wake()

    def __aiter__(self) -> Watcher:
        return self

    async def __anext__(self) -> list[CacheEvent]:
        while not self._buffer:
            if self._is_closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        batch, self._buffer = self._buffer, []
        self._initial_count = 0
        return batch

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
