"""The storage protocol: bytes under keys, one global integer revision, watch order = commit order.

Every write gets the next revision. The stored bytes do not contain the revision; whoever publishes an object splices
its resourceVersion in. One contract suite (`tests/contract/`) runs on every implementation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from control.api.records import record


class StorageError(Exception):
    """Base of all storage errors."""


class KeyExistsError(StorageError):
    """Create of a key that exists."""


class KeyNotFoundError(StorageError):
    """Update or delete of a key that does not exist."""


class RevisionConflictError(StorageError):
    """Compare-and-swap failed: the key is at another revision."""

    def __init__(self, key: str, current_revision: int) -> None:
        super().__init__(f"{key} is at revision {current_revision}")
        self.current_revision = current_revision


class CompactedError(StorageError):
    """The revision asked for is older than what is kept."""

    def __init__(self, compacted_revision: int) -> None:
        super().__init__(f"revisions up to {compacted_revision} are compacted")
        self.compacted_revision = compacted_revision


class FutureRevisionError(StorageError):
    """The revision asked for has not been reached."""

    def __init__(self, requested: int, current: int) -> None:
        super().__init__(f"revision {requested} is in the future, current is {current}")
        self.requested = requested
        self.current = current


class StorageUnavailableError(StorageError):
    """The store cannot write (disk full, read-only file) or is closed. The write did not happen."""


class StorageFormatError(StorageError):
    """The file is damaged, or not one of ours. The message says what to do."""


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A key's value at a revision (`revision` is that of its last write)."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class ListResult:
    """A page of a list. `revision` is that of the whole list; `remaining` counts what follows this page."""

    items: list[StoredValue]
    revision: int
    remaining: int


class ChangeType(Enum):
    """What a write did."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@record(frozen=True, slots=True)
class Change:
    """One committed write. For DELETED `value` is the last value before the deletion."""

    type: ChangeType
    key: str
    value: bytes
    revision: int


class Storage(Protocol):
    """Key-value storage with revisions. A returned write is durable; writes from one caller commit in order."""

    async def create(self, key: str, value: bytes, *, ttl_seconds: int | None = None) -> int:
        """Write a new key; returns its revision. Raises KeyExistsError. With a TTL the key deletes itself."""
        ...

    async def update(self, key: str, value: bytes, *, expected_revision: int, ttl_seconds: int | None = None) -> int:
        """Replace a value if the key is at `expected_revision`. Raises KeyNotFoundError, RevisionConflictError."""
        ...

    async def delete(self, key: str, *, expected_revision: int | None = None) -> int:
        """Delete a key; returns the deletion's revision. Raises KeyNotFoundError, RevisionConflictError."""
        ...

    async def get(self, key: str) -> StoredValue | None:
        """Return the current value, or None."""
        ...

    async def list_prefix(
        self, prefix: str, *, limit: int | None = None, start_after: str = "", revision: int | None = None
    ) -> ListResult:
        """List keys with a prefix in key order, now or as of `revision`. Raises CompactedError, FutureRevisionError."""
        ...

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[list[Change]]:
        """Yield batches of changes after a revision, in commit order. Raises CompactedError at the first step."""
        ...

    def subscribe(self, callback: Callable[[list[Change]], None], *, prefix: str = "") -> Callable[[], None]:
        """Call back with every committed batch, in order, on the event loop, before its writers resume.

        The watch cache lives on this: a writer that returns can read its own write from the cache. A prefix, which
        ends in a slash, limits what is seen to its keys. Returns unsubscribe.
        """
        ...

    @property
    def revision(self) -> int:
        """The newest committed revision."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget the changes up to and including `revision`; the state as of `revision` stays readable."""
        ...

    async def close(self) -> None:
        """Finish waiting writes and release the files."""
        ...
