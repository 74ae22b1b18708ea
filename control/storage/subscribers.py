"""Delivery of committed changes: synchronous subscribers, and watches built on them.

`publish` is called on the event loop in commit order; a watch joins history read from the store with what is
published meanwhile, without gap or repetition.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from control.storage.protocol import Change

Callback = Callable[[list[Change]], None]
ReadHistory = Callable[[str, int], Awaitable[tuple[list[Change], int]]]


class Subscribers:
    """An ordered set of callbacks."""

    def __init__(self) -> None:
        self._callbacks: dict[int, Callback] = {}
        self._next_id = 0

    def add(self, callback: Callback) -> Callable[[], None]:
        """Add a callback; returns what removes it."""
        subscriber_id = self._next_id
        self._next_id += 1
        self._callbacks[subscriber_id] = callback
        return lambda: self._callbacks.pop(subscriber_id, None) and None

    def publish(self, changes: list[Change]) -> None:
        """Hand a committed batch to everyone. One that fails is reported to the event loop; the others still see it."""
        for callback in list(self._callbacks.values()):
            try:
                callback(changes)
            except Exception as error:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "A subscriber of the store failed", "exception": error}
                )


async def watch_changes(
    subscribers: Subscribers, read_history: ReadHistory, prefix: str, after_revision: int
) -> AsyncIterator[list[Change]]:
    """Yield batches after a revision; `read_history` returns changes and the revision up to which they are complete."""
    queue: asyncio.Queue[list[Change]] = asyncio.Queue()
    unsubscribe = subscribers.add(queue.put_nowait)
    try:
        history, seen_revision = await read_history(prefix, after_revision)
        if history:
            yield history
        while True:
            batch = await queue.get()
            wanted = [item for item in batch if item.revision > seen_revision and item.key.startswith(prefix)]
            if wanted:
                yield wanted
    finally:
        unsubscribe()
