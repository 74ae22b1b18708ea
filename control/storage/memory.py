"""`MemoryStorage`: the reference implementation, kept as plain as the protocol allows.

It holds everything in one process and survives nothing. Tests compare the durable stores with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from control.api.clock import Clock, SystemClock
from control.storage.protocol import (
    Change,
    ChangeType,
    CompactedError,
    FutureRevisionError,
    KeyExistsError,
    KeyNotFoundError,
    ListResult,
    RevisionConflictError,
    StorageUnavailableError,
    StoredValue,
)
from control.storage.subscribers import Subscribers, watch_changes

#: What an empty store answers: a revision is never 0, which means "any" to clients.
FIRST_REVISION = 1
EXPIRY_INTERVAL_SECONDS = 15.0


@dataclass(slots=True)
class _Entry:
    value: bytes
    revision: int
    expires_at: datetime | None


class MemoryStorage:
    """Storage in a dict with its whole history in a list."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._entries: dict[str, _Entry] = {}
        self._history: list[Change] = []
        self._revision = FIRST_REVISION
        self._compacted_revision = 0
        self._subscribers = Subscribers()
        self._expiry: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def revision(self) -> int:
        """The newest revision."""
        return self._revision

    async def create(self, key: str, value: bytes, *, ttl_seconds: int | None = None) -> int:
        """Write a new key."""
        self._refuse_if_closed()
        if key in self._entries:
            raise KeyExistsError(key)
        return self._put(ChangeType.CREATED, key, value, ttl_seconds)

    async def update(self, key: str, value: bytes, *, expected_revision: int, ttl_seconds: int | None = None) -> int:
        """Replace a value if the key is at the expected revision."""
        self._expect(key, expected_revision)
        return self._put(ChangeType.UPDATED, key, value, ttl_seconds)

    async def delete(self, key: str, *, expected_revision: int | None = None) -> int:
        """Delete a key."""
        entry = self._expect(key, expected_revision)
        del self._entries[key]
        return self._commit(ChangeType.DELETED, key, entry.value)

    async def get(self, key: str) -> StoredValue | None:
        """Return the current value, or None."""
        entry = self._entries.get(key)
        return StoredValue(key, entry.value, entry.revision) if entry else None

    async def list_prefix(
        self, prefix: str, *, limit: int | None = None, start_after: str = "", revision: int | None = None
    ) -> ListResult:
        """List keys in order, now or as of a revision."""
        state = self._state_at(self._revision if revision is None else revision)
        keys = sorted(key for key in state if key.startswith(prefix) and key > start_after)
        page = keys if limit is None else keys[:limit]
        items = [StoredValue(key, *state[key]) for key in page]
        return ListResult(items, self._revision if revision is None else revision, len(keys) - len(page))

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[list[Change]]:
        """Yield batches of changes after a revision."""
        return watch_changes(self._subscribers, self._read_history, prefix, after_revision)

    def subscribe(self, callback: Callable[[list[Change]], None], *, prefix: str = "") -> Callable[[], None]:
        """Call back with every committed batch before its writer resumes."""
        return self._subscribers.add(callback, prefix)

    async def compact(self, revision: int) -> None:
        """Forget the changes up to and including a revision."""
        if revision > self._revision:
            raise FutureRevisionError(revision, self._revision)
        self._compacted_revision = max(self._compacted_revision, revision)

    async def close(self) -> None:
        """Refuse further writes."""
        self._closed = True
        if self._expiry:
            self._expiry.cancel()

    async def expire(self) -> None:
        """Delete the keys whose time has come, earliest first."""
        now = self._clock.now()
        expiring = [(entry.expires_at, key) for key, entry in self._entries.items() if entry.expires_at]
        for _, key in sorted(item for item in expiring if item[0] <= now):
            await self.delete(key)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StorageUnavailableError("the store is closed")

    def _expect(self, key: str, expected_revision: int | None) -> _Entry:
        self._refuse_if_closed()
        entry = self._entries.get(key)
        if entry is None:
            raise KeyNotFoundError(key)
        if expected_revision is not None and entry.revision != expected_revision:
            raise RevisionConflictError(key, entry.revision)
        return entry

    def _put(self, type: ChangeType, key: str, value: bytes, ttl_seconds: int | None) -> int:
        expires_at = None
        if ttl_seconds is not None:
            expires_at = self._clock.now() + timedelta(seconds=ttl_seconds)
            if self._expiry is None:
                self._expiry = asyncio.create_task(self._run_expiry())
        self._entries[key] = _Entry(value, self._revision + 1, expires_at)
        return self._commit(type, key, value)

    def _commit(self, type: ChangeType, key: str, value: bytes) -> int:
        self._revision += 1
        change = Change(type, key, value, self._revision)
        self._history.append(change)
        self._subscribers.publish([change])
        return self._revision

    def _state_at(self, revision: int) -> dict[str, tuple[bytes, int]]:
        if revision > self._revision:
            raise FutureRevisionError(revision, self._revision)
        if revision < self._compacted_revision:
            raise CompactedError(self._compacted_revision)
        if revision == self._revision:
            return {key: (entry.value, entry.revision) for key, entry in self._entries.items()}
        state: dict[str, tuple[bytes, int]] = {}
        for change in self._history:
            if change.revision > revision:
                break
            if change.type is ChangeType.DELETED:
                state.pop(change.key, None)
            else:
                state[change.key] = (change.value, change.revision)
        return state

    async def _read_history(self, prefix: str, after_revision: int) -> tuple[list[Change], int]:
        if after_revision > self._revision:
            raise FutureRevisionError(after_revision, self._revision)
        if after_revision < self._compacted_revision:
            raise CompactedError(self._compacted_revision)
        changes = [item for item in self._history if item.revision > after_revision and item.key.startswith(prefix)]
        return changes, self._revision

    async def _run_expiry(self) -> None:
        while not self._closed:
            await self._clock.sleep(EXPIRY_INTERVAL_SECONDS)
            await self.expire()
