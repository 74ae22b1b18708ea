"""Reads of the SQLite file: current values, lists as of a revision, history. Each is one read transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from control.storage.protocol import (
    Change,
    CompactedError,
    FutureRevisionError,
    ListResult,
    StoredValue,
)
from control.storage.sqlite_file import check_value
from control.storage.sqlite_write import TYPES, read_compacted_revision, read_revision

_LAST_CHARACTER = "\U0010ffff"

_STATE_NOW = "SELECT key, revision FROM current WHERE key > :after AND key >= :start AND key < :end"

#: Keys not written since, and for keys written since, the row before their first write since.
_STATE_THEN = """
SELECT key, revision FROM current WHERE key > :after AND key >= :start AND key < :end AND revision <= :revision
UNION ALL
SELECT log.key, log.previous FROM log JOIN (
    SELECT min(revision) AS first FROM log
    WHERE revision > :revision AND key > :after AND key >= :start AND key < :end GROUP BY key
) ON log.revision = first WHERE log.previous > 0
"""


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def read_key(connection: sqlite3.Connection, key: str) -> StoredValue | None:
    """The current value of a key."""
    row = connection.execute(
        "SELECT current.revision, log.value, log.checksum FROM current "
        "LEFT JOIN log ON log.revision = current.revision WHERE current.key = ?",
        (key,),
    ).fetchone()
    return StoredValue(key, check_value(key, row[1], row[0], row[2]), row[0]) if row else None


def read_prefix(
    connection: sqlite3.Connection,
    prefix: str,
    *,
    limit: int | None,
    start_after: str,
    revision: int | None,
    first: int,
) -> ListResult:
    """A page of the keys with a prefix, in key order. `first` is the revision of an empty store."""
    with _snapshot(connection):
        newest = read_revision(connection, at_least=first)
        _check_revision(connection, revision, newest)
        is_past = revision is not None and revision < newest
        state = _STATE_THEN if is_past else _STATE_NOW
        bounds = {"after": start_after, "start": prefix, "end": prefix + _LAST_CHARACTER, "revision": revision}
        rows = connection.execute(
            "SELECT state.key, state.revision, log.value, log.checksum FROM "
            f"(SELECT * FROM ({state}) ORDER BY key LIMIT :limit) AS state "
            "LEFT JOIN log ON log.revision = state.revision ORDER BY state.key",
            {**bounds, "limit": -1 if limit is None else limit},
        ).fetchall()
        remaining = 0
        if limit is not None and len(rows) == limit:
            total = connection.execute(f"SELECT count(*) FROM ({state})", bounds).fetchone()[0]
            remaining = total - len(rows)
    items = [StoredValue(key, check_value(key, value, at, checksum), at) for key, at, value, checksum in rows]
    return ListResult(items, newest if revision is None else revision, remaining)


def read_history(
    connection: sqlite3.Connection, prefix: str, after_revision: int, first: int
) -> tuple[list[Change], int]:
    """The changes of a prefix after a revision, and the newest revision they reach."""
    with _snapshot(connection):
        newest = read_revision(connection, at_least=first)
        _check_revision(connection, after_revision, newest)
        rows = connection.execute(
            "SELECT log.type, log.key, coalesce(log.value, before.value), log.revision FROM log "
            "LEFT JOIN log AS before ON log.type = 2 AND before.revision = log.previous "
            "WHERE log.revision > ? AND log.key >= ? AND log.key < ? ORDER BY log.revision",
            (after_revision, prefix, prefix + _LAST_CHARACTER),
        ).fetchall()
    return [Change(TYPES[code], key, value, revision) for code, key, value, revision in rows], newest


def _check_revision(connection: sqlite3.Connection, revision: int | None, newest: int) -> None:
    if revision is None:
        return
    if revision > newest:
        raise FutureRevisionError(revision, newest)
    compacted = read_compacted_revision(connection)
    if revision < compacted:
        raise CompactedError(compacted)
