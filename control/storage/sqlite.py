"""`SqliteStorage`: the embedded durable store.

The event loop hands writes to one writer thread, which commits all that wait as one group (WAL, synchronous=FULL:
acknowledged means on disk) and hands the changes back; subscribers see them on the event loop in commit order before
the writers resume. Reads run on a small pool of threads with connections of their own and never wait for writes.
If a commit fails (disk full, read-only file) its writes fail with StorageUnavailableError, reads go on, and the next
write tries again. The store forgets old history by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, TypeVar, cast

from control.api.clock import Clock, SystemClock
from control.storage.history import HistoryMeter
from control.storage.protocol import (
    Change,
    ChangeType,
    FutureRevisionError,
    ListResult,
    StorageError,
    StorageUnavailableError,
    StoredValue,
)
from control.storage.sqlite_file import explain, lock_file, open_reader, open_writer
from control.storage.sqlite_read import read_history, read_key, read_prefix
from control.storage.sqlite_write import (
    GROUP_SIZE_MAX,
    Write,
    commit_group,
    compact_log,
    fail_all,
    has_expiring_keys,
    read_compacted_revision,
    read_expired_keys,
    read_revision,
    return_free_pages,
)
from control.storage.subscribers import Subscribers, watch_changes

FIRST_REVISION = 1
EXPIRY_INTERVAL_SECONDS = 15.0
READER_COUNT = 2
#: History is kept for one to two of these, as kube-apiserver has etcd keep it.
COMPACTION_INTERVAL_SECONDS = 300.0
#: More history than this is cut to half of it at once.
HISTORY_BYTES_MAX = 256 * 1024 * 1024
#: Revisions compacted in one transaction, so that writes get their turn in between.
COMPACTION_STEP = 5000

Result = TypeVar("Result")
#: Work for the writer thread: a write, or a function that is called alone between groups.
Task = Write | Callable[[], None] | None


class SqliteStorage:
    """Storage in one SQLite file. Made by `open`."""

    def __init__(self, path: Path, clock: Clock, connection: sqlite3.Connection, lock: IO[bytes]) -> None:
        self._path = path
        self._clock = clock
        self._lock = lock
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._subscribers = Subscribers()
        self._revision = self._committed_revision = read_revision(connection, at_least=FIRST_REVISION)
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._is_closed = False
        self._history = HistoryMeter(HISTORY_BYTES_MAX)
        self._shortening: asyncio.Task[None] | None = None
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._read_pool = ThreadPoolExecutor(READER_COUNT, thread_name_prefix="sqlite-read")
        self._writer = threading.Thread(target=self._run_writer, name="sqlite-write", daemon=True)
        self._writer.start()
        self._expiry = asyncio.create_task(self._run_expiry()) if has_expiring_keys(connection) else None
        self._compaction = asyncio.create_task(self._run_compaction())

    @classmethod
    async def open(cls, path: Path | str, *, clock: Clock | None = None) -> SqliteStorage:
        """Open or create the file. Raises StorageFormatError (damaged, foreign) or StorageUnavailableError."""
        path = Path(path)
        lock = lock_file(path)
        try:
            connection = await asyncio.to_thread(open_writer, path)
        except BaseException:
            lock.close()
            raise
        return cls(path, clock or SystemClock(), connection, lock)

    @property
    def revision(self) -> int:
        """The newest revision subscribers have seen."""
        return self._revision

    async def create(self, key: str, value: bytes, *, ttl_seconds: int | None = None) -> int:
        """Write a new key; returns when it is on disk."""
        return await self._write(ChangeType.CREATED, key, value, expires_at=self._expires_at(ttl_seconds))

    async def update(self, key: str, value: bytes, *, expected_revision: int, ttl_seconds: int | None = None) -> int:
        """Replace a value if the key is at the expected revision; returns when it is on disk."""
        expires_at = self._expires_at(ttl_seconds)
        return await self._write(ChangeType.UPDATED, key, value, expected=expected_revision, expires_at=expires_at)

    async def delete(self, key: str, *, expected_revision: int | None = None) -> int:
        """Delete a key; returns when that is on disk."""
        return await self._write(ChangeType.DELETED, key, expected=expected_revision)

    async def get(self, key: str) -> StoredValue | None:
        """Return the committed value, or None."""
        return await self._read(lambda connection: read_key(connection, key))

    async def list_prefix(
        self, prefix: str, *, limit: int | None = None, start_after: str = "", revision: int | None = None
    ) -> ListResult:
        """List keys in order, now or as of a revision."""
        return await self._read(
            lambda connection: read_prefix(
                connection, prefix, limit=limit, start_after=start_after, revision=revision, first=FIRST_REVISION
            )
        )

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[list[Change]]:
        """Yield batches of changes after a revision, history first."""

        async def history(wanted_prefix: str, after: int) -> tuple[list[Change], int]:
            return await self._read(lambda connection: read_history(connection, wanted_prefix, after, FIRST_REVISION))

        return watch_changes(self._subscribers, history, prefix, after_revision)

    def subscribe(self, callback: Callable[[list[Change]], None], *, prefix: str = "") -> Callable[[], None]:
        """Call back on the event loop with every committed group before its writers resume."""
        return self._subscribers.add(callback, prefix)

    async def compact(self, revision: int) -> None:
        """Forget the changes up to and including a revision."""
        if revision > self._revision:
            raise FutureRevisionError(revision, self._revision)
        done = await self._read(read_compacted_revision)
        for end in range(done + COMPACTION_STEP, revision + COMPACTION_STEP, COMPACTION_STEP):
            await self._on_writer(partial(compact_log, self._connection, min(end, revision)))
        self._history.forget(revision)
        while await self._on_writer(partial(return_free_pages, self._connection)):
            """Other writes get their turn between two steps."""

    async def expire(self) -> None:
        """Delete the keys whose time has come."""
        now = int(self._clock.now().timestamp())
        while keys := await self._read(lambda connection: read_expired_keys(connection, now, GROUP_SIZE_MAX)):
            writes = [self._write(ChangeType.DELETED, key, expired_before=now) for key in keys]
            for outcome in await asyncio.gather(*writes, return_exceptions=True):
                # A key that was rewritten or deleted meanwhile reports a conflict: it is no longer ours to expire.
                if isinstance(outcome, StorageUnavailableError):
                    raise outcome

    async def close(self) -> None:
        """Commit what waits and release the files."""
        if self._is_closed:
            return
        self._is_closed = True
        for task in (self._compaction, self._expiry, self._shortening):
            if task is not None:
                task.cancel()
        self._tasks.put(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.sleep(0)  # the last group's publication is already queued on this loop
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        self._read_pool.shutdown()
        for reader in self._readers:
            reader.close()
        self._connection.close()
        self._lock.close()

    def _expires_at(self, ttl_seconds: int | None) -> int | None:
        if ttl_seconds is None:
            return None
        if self._expiry is None:
            self._expiry = asyncio.create_task(self._run_expiry())
        return int(self._clock.now().timestamp()) + ttl_seconds

    async def _run_expiry(self) -> None:
        while True:
            await self._clock.sleep(EXPIRY_INTERVAL_SECONDS)
            with contextlib.suppress(StorageUnavailableError):  # the next turn tries again
                await self.expire()

    async def _run_compaction(self) -> None:
        """Forget, every few minutes, what was already there the turn before."""
        previous = self._revision
        while True:
            await self._clock.sleep(COMPACTION_INTERVAL_SECONDS)
            current = self._revision
            await self._compact_quietly(previous)
            previous = current

    async def _compact_quietly(self, revision: int) -> None:
        with contextlib.suppress(StorageUnavailableError):  # the next turn tries again
            await self.compact(revision)

    def _shorten_history(self) -> None:
        """Forget before its time what a storm of writes would fill the disk with."""
        if self._history.is_too_large and (self._shortening is None or self._shortening.done()):
            self._shortening = asyncio.create_task(self._compact_quietly(self._history.choose_revision()))

    def _write(
        self,
        type: ChangeType,
        key: str,
        value: bytes = b"",
        *,
        expected: int | None = None,
        expires_at: int | None = None,
        expired_before: int | None = None,
    ) -> asyncio.Future[int]:
        if self._is_closed:
            raise StorageUnavailableError("the store is closed")
        write = Write(
            type=type,
            key=key,
            value=value,
            expected_revision=expected,
            expires_at=expires_at,
            expired_before=expired_before,
            future=self._loop.create_future(),
        )
        self._tasks.put(write)
        return write.future

    async def _read(self, read: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._is_closed:
            raise StorageUnavailableError("the store is closed")
        return await self._loop.run_in_executor(self._read_pool, self._read_on_thread, read)

    def _read_on_thread(self, read: Callable[[sqlite3.Connection], Result]) -> Result:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        try:
            if connection is None:
                connection = self._local.connection = open_reader(self._path)
                self._readers.append(connection)
            return read(connection)
        except sqlite3.Error as error:
            raise explain("read", self._path, error) from error

    async def _on_writer(self, work: Callable[[], Result]) -> Result:
        if self._is_closed:
            raise StorageUnavailableError("the store is closed")
        future: asyncio.Future[Result] = self._loop.create_future()

        def finish(result: Result | None, error: StorageError | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(cast(Result, result))

        def task() -> None:
            result, failure = None, None
            try:
                result = work()
            except sqlite3.Error as error:
                failure = explain("write", self._path, error)
            self._loop.call_soon_threadsafe(finish, result, failure)

        self._tasks.put(task)
        return await future

    # -- writer thread -------------------------------------------------------------------------------------------

    def _run_writer(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                return
            if not isinstance(task, Write):
                task()
                continue
            group, following = self._take_group(task)
            changes = self._commit(group)
            self._loop.call_soon_threadsafe(self._publish, group, changes)
            if following is not None and not isinstance(following, Write):
                following()

    def _take_group(self, first: Write) -> tuple[list[Write], Task]:
        group = [first]
        while len(group) < GROUP_SIZE_MAX:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                break
            if not isinstance(task, Write):
                if task is None:
                    self._tasks.put(None)  # the end stays in the queue for the loop
                return group, task
            group.append(task)
        return group, None

    def _commit(self, group: list[Write]) -> list[Change]:
        try:
            changes = commit_group(self._connection, group, self._committed_revision)
        except sqlite3.Error as error:
            fail_all(group, StorageUnavailableError(str(explain("write", self._path, error))))
            return []
        except Exception as error:
            fail_all(group, StorageUnavailableError(f"cannot write {self._path}: {error!r}"))
            return []
        if changes:
            self._committed_revision = changes[-1].revision
        return changes

    # -- event loop ----------------------------------------------------------------------------------------------

    def _publish(self, group: list[Write], changes: list[Change]) -> None:
        if changes:
            self._revision = changes[-1].revision
            self._history.note(changes)
            self._subscribers.publish(changes)
            self._shorten_history()
        for write in group:
            if write.future.done():
                continue
            if write.error is not None:
                write.future.set_exception(write.error)
            else:
                write.future.set_result(write.revision)
