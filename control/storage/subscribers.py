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
    """Callbacks by the key prefix they are about, in the order they were added.

    A server has a subscriber per kind: a change is handed to those of its own prefixes without asking the others.
    """

    def __init__(self) -> None:
        self._by_prefix: dict[str, list[Callback]] = {}

    def add(self, callback: Callback, prefix: str = "") -> Callable[[], None]:
        """Add a callback for the keys with a prefix that is empty or ends in a slash; returns what removes it."""
        callbacks = self._by_prefix.setdefault(prefix, [])
        callbacks.append(callback)

        def remove() -> None:
            if callback in callbacks:
                callbacks.remove(callback)
            if not callbacks and self._by_prefix.get(prefix) is callbacks:
                del self._by_prefix[prefix]

        return remove

    def publish(self, changes: list[Change]) -> None:
        """Hand a committed batch to everyone. One that fails is reported to the event loop; the others still see it."""
        for prefix, batch in self._sort_by_prefix(changes).items():
            for callback in list(self._by_prefix.get(prefix, ())):
                try:
                    callback(batch)
                except Exception as error:
                    asyncio.get_running_loop().call_exception_handler(
                        {"message": "A subscriber of the store failed", "exception": error}
                    )

    def _sort_by_prefix(self, changes: list[Change]) -> dict[str, list[Change]]:
        known = self._by_prefix
        batches: dict[str, list[Change]] = {"": changes} if "" in known else {}
        for change in changes:
            key = change.key
            end = key.find("/") + 1
            while end:
                prefix = key[:end]
                if prefix in known:
                    batches.setdefault(prefix, []).append(change)
                end = key.find("/", end) + 1
        return batches


async def watch_changes(
    subscribers: Subscribers, read_history: ReadHistory, prefix: str, after_revision: int
) -> AsyncIterator[list[Change]]:
    """Yield batches after a revision; `read_history` returns changes and the revision up to which they are complete."""
    queue: asyncio.Queue[list[Change]] = asyncio.Queue()
    unsubscribe = subscribers.add(queue.put_nowait)  # of all keys: the prefix need not end in a slash
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
