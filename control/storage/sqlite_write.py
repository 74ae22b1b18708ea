"""Group commit: many writes, one transaction, one flush to disk.

Runs on the writer thread. Conditions are judged against the rows the group touches, read in one statement, and
against the group's own earlier writes, so a group behaves as its writes one after the other.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from control.storage.protocol import (
    Change,
    ChangeType,
    KeyExistsError,
    KeyNotFoundError,
    RevisionConflictError,
    StorageError,
)
from control.storage.sqlite_file import value_checksum

#: Most writes in one transaction. Each takes up to six bound values of SQLite's 32766.
GROUP_SIZE_MAX = 1000

#: Free pages that are always kept (4 MB).
FREE_PAGES_KEPT = 1024
#: Pages given back in one transaction, so that writes get their turn in between.
RETURNED_PAGES = 512

TYPE_CODES = {ChangeType.CREATED: 0, ChangeType.UPDATED: 1, ChangeType.DELETED: 2}
TYPES = {code: change_type for change_type, code in TYPE_CODES.items()}


@dataclass(slots=True, kw_only=True)
class Write:
    """One waiting write. `expires_at` is in whole seconds since the epoch; `future` belongs to the event loop."""

    type: ChangeType
    key: str
    value: bytes = b""
    expected_revision: int | None = None
    expires_at: int | None = None
    expired_before: int | None = None
    future: asyncio.Future[int]
    error: StorageError | None = None
    revision: int = 0


@dataclass(slots=True)
class _Row:
    revision: int
    expires_at: int | None
    value: bytes | None = None


@dataclass(slots=True)
class _Group:
    revision: int
    rows: dict[str, _Row]
    changes: list[Change] = field(default_factory=list)
    log: list[Any] = field(default_factory=list)
    puts: dict[str, _Row] = field(default_factory=dict)
    deletes: set[str] = field(default_factory=set)


def commit_group(connection: sqlite3.Connection, writes: Sequence[Write], revision: int) -> list[Change]:
    """Apply a group after `revision`; returns its changes when they are on disk. Sets each write's error or revision.

    Raises sqlite3.Error if the transaction failed; then none of the group happened.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        group = _Group(revision, _read_rows(connection, writes))
        for write in writes:
            write.error = _judge(write, group.rows.get(write.key))
            if write.error is None:
                _add(group, write)
        _store(connection, group)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return group.changes


def _read_rows(connection: sqlite3.Connection, writes: Sequence[Write]) -> dict[str, _Row]:
    keys = list({write.key for write in writes})
    found = connection.execute(
        f"SELECT key, revision, expires_at FROM current WHERE key IN ({_marks(len(keys))})", keys
    )
    rows = {key: _Row(revision, expires_at) for key, revision, expires_at in found}
    deleted = [row.revision for write in writes if write.type is ChangeType.DELETED and (row := rows.get(write.key))]
    if deleted:
        values = dict(
            connection.execute(f"SELECT revision, value FROM log WHERE revision IN ({_marks(len(deleted))})", deleted)
        )
        for row in rows.values():
            row.value = values.get(row.revision)
    return rows


def _judge(write: Write, row: _Row | None) -> StorageError | None:
    if write.type is ChangeType.CREATED:
        return KeyExistsError(write.key) if row else None
    if row is None:
        return KeyNotFoundError(write.key)
    if write.expected_revision is not None and row.revision != write.expected_revision:
        return RevisionConflictError(write.key, row.revision)
    if write.expired_before is not None and (row.expires_at is None or row.expires_at > write.expired_before):
        return RevisionConflictError(write.key, row.revision)
    return None


def _add(group: _Group, write: Write) -> None:
    group.revision += 1
    write.revision = group.revision
    row = group.rows.pop(write.key, None)
    previous = row.revision if row else 0
    if write.type is ChangeType.DELETED:
        assert row is not None
        assert row.value is not None
        value = row.value
        group.puts.pop(write.key, None)
        group.deletes.add(write.key)
    else:
        value = write.value
        group.rows[write.key] = group.puts[write.key] = _Row(group.revision, write.expires_at, value)
        group.deletes.discard(write.key)
    stored = None if write.type is ChangeType.DELETED else value
    checksum = None if stored is None else value_checksum(write.key, stored, group.revision)
    group.log += (group.revision, write.key, previous, TYPE_CODES[write.type], stored, checksum)
    group.changes.append(Change(write.type, write.key, value, group.revision))


def _store(connection: sqlite3.Connection, group: _Group) -> None:
    # One statement per table, however many rows: every statement gives up the interpreter lock and has to win it back.
    if group.log:
        rows = ", ".join(["(?, ?, ?, ?, ?, ?)"] * (len(group.log) // 6))
        columns = "revision, key, previous, type, value, checksum"
        connection.execute(f"INSERT INTO log ({columns}) VALUES {rows}", group.log)
    if group.puts:
        values: list[Any] = []
        for key, row in group.puts.items():
            values += (key, row.revision, row.expires_at)
        rows = ", ".join(["(?, ?, ?)"] * len(group.puts))
        connection.execute(f"INSERT OR REPLACE INTO current (key, revision, expires_at) VALUES {rows}", values)
    if group.deletes:
        connection.execute(f"DELETE FROM current WHERE key IN ({_marks(len(group.deletes))})", list(group.deletes))


def read_revision(connection: sqlite3.Connection, *, at_least: int) -> int:
    """The newest revision in the file."""
    return max(at_least, connection.execute("SELECT max(revision) FROM log").fetchone()[0] or 0)


def compact_log(connection: sqlite3.Connection, revision: int) -> None:
    """Delete the rows that were replaced or deleted at or before a revision, in one transaction.

    The newest row stays even if it is a deletion: it holds the revision counter.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        done = read_compacted_revision(connection)
        span = (done, revision)
        connection.execute(
            "DELETE FROM log WHERE revision IN "
            "(SELECT previous FROM log WHERE revision > ? AND revision <= ? AND previous > 0)",
            span,
        )
        connection.execute(
            "DELETE FROM log WHERE revision > ? AND revision <= ? AND type = 2 "
            "AND revision < (SELECT max(revision) FROM log)",
            span,
        )
        connection.execute("UPDATE compaction SET revision = max(revision, ?)", (revision,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def return_free_pages(connection: sqlite3.Connection) -> bool:
    """Give some of the pages that compaction emptied back to the file system; returns whether there is more to give.

    A quarter of the file stays for the writes to come, which would only make it grow again.
    """
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    if free <= max(FREE_PAGES_KEPT, pages // 4):
        return False
    connection.execute(f"PRAGMA incremental_vacuum({RETURNED_PAGES})").fetchall()
    return bool(connection.execute("PRAGMA freelist_count").fetchone()[0] < free)


def read_compacted_revision(connection: sqlite3.Connection) -> int:
    """The revision up to which history is forgotten."""
    return int(connection.execute("SELECT revision FROM compaction").fetchone()[0])


def read_expired_keys(connection: sqlite3.Connection, now: int, limit: int) -> list[str]:
    """Keys whose time has come, earliest first."""
    rows = connection.execute(
        "SELECT key FROM current WHERE expires_at <= ? ORDER BY expires_at, key LIMIT ?", (now, limit)
    )
    return [key for (key,) in rows]


def has_expiring_keys(connection: sqlite3.Connection) -> bool:
    """Whether any key has a time to live."""
    return connection.execute("SELECT 1 FROM current WHERE expires_at IS NOT NULL LIMIT 1").fetchone() is not None


def _marks(count: int) -> str:
    return ", ".join(["?"] * count)


def fail_all(writes: Iterable[Write], error: StorageError) -> None:
    """Give every write the same error."""
    for write in writes:
        write.error = error
