"""Snapshots of the SQLite store: one file, the database as it was at one revision and behind it its SHA-256.

A snapshot is taken while the store is in use. A restored store begins far above every revision that any of its clients
can have seen, with all of its history compacted: no resourceVersion ever stands for two contents, and watches from
before the restore end with 410 (what etcd's `--bump-revision` and `--mark-compacted` do).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from control.storage.protocol import ChangeType, StorageFormatError, StorageUnavailableError
from control.storage.sqlite_file import (
    check_content,
    check_files,
    check_value,
    connect,
    explain,
    finish_restore,
    lock_file,
    pending_restore,
    sync_directory,
    write_ahead_log_of,
)
from control.storage.sqlite_write import TYPE_CODES, read_revision

#: How far above everything known a restored store begins: more than a store writes between two snapshots.
REVISION_STEP = 1_000_000_000
#: The key of the row that holds the revision of a restored store until something is written. No object is under it.
RESTORED_KEY = "/restored"

_DIGEST_BYTES = hashlib.sha256().digest_size
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFacts:
    """What a snapshot holds."""

    revision: int
    objects: int


def save_snapshot(store: Path, target: Path) -> SnapshotFacts:
    """Write a snapshot of a store, which may be in use, in place of `target`.

    Raises StorageFormatError if the store is damaged, StorageUnavailableError if a file cannot be read or written.
    """
    if not store.exists():
        raise StorageUnavailableError(f"cannot read {store}: there is no such file")
    _check_if_idle(store)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with _explaining("write", target):
            draft.touch(0o600)  # an empty file is a new database to SQLite, and secrets are in it from the start
            with _explaining("read", store), closing(_connect_read_only(store)) as reader:
                reader.execute("VACUUM INTO ?", (str(draft),))
            facts = _judge(draft, store)
            _seal(draft)
            draft.replace(target)
            sync_directory(target)
    finally:
        draft.unlink(missing_ok=True)
    return facts


def restore_snapshot(snapshot: Path, store: Path) -> SnapshotFacts:
    """Put the content of a snapshot in the place of a store that nobody uses; what was there is kept as `.replaced`.

    Returns the facts of the restored store. Raises StorageFormatError if the snapshot is damaged or none,
    StorageUnavailableError if the store is in use or a file cannot be read or written.
    """
    draft = store.with_name(f"{store.name}.draft")
    with lock_file(store), _explaining("restore", snapshot):
        try:
            _unseal(snapshot, draft)
            facts = _begin_anew(draft, snapshot, _choose_revision(store, draft))
            replaced = store.with_name(f"{store.name}.replaced")
            write_ahead_log_of(replaced).unlink(missing_ok=True)
            draft.replace(pending_restore(store))
            sync_directory(store)
            finish_restore(store)
        finally:
            draft.unlink(missing_ok=True)
    return facts


@contextmanager
def _explaining(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise explain(action, path, error) from error


def _check_if_idle(store: Path) -> None:
    """Judge the files of a store; while it is in use they change, and were judged when it was opened."""
    try:
        with lock_file(store):
            check_files(store)
    except StorageUnavailableError:
        return


def _connect_read_only(store: Path) -> sqlite3.Connection:
    """A connection that cannot change the files, not even move the write-ahead log into the database at its end."""
    return sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True)


# --- the seal -------------------------------------------------------------------------------------------------------


def _seal(path: Path) -> None:
    """Write the digest behind the content, to disk."""
    with path.open("r+b") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        file.write(digest)
        file.flush()
        os.fsync(file.fileno())


def _unseal(snapshot: Path, target: Path) -> None:
    """Copy what is before the digest. Raises StorageFormatError if it does not match."""
    with snapshot.open("rb") as source, target.open("wb") as copy:
        target.chmod(0o600)
        size = os.fstat(source.fileno()).st_size - _DIGEST_BYTES
        digest = _copy(source, copy, size)
        if size <= 0 or digest != source.read():
            raise StorageFormatError(
                f"cannot restore {snapshot}: its checksum does not match; it is no snapshot, or it is damaged"
            )
        copy.flush()
        os.fsync(copy.fileno())


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> bytes:
    digest = hashlib.sha256()
    while size > 0 and (chunk := source.read(min(size, _CHUNK_BYTES))):
        digest.update(chunk)
        target.write(chunk)
        size -= len(chunk)
    return digest.digest()


# --- the content ----------------------------------------------------------------------------------------------------


def _judge(draft: Path, store: Path) -> SnapshotFacts:
    """Read all that a copy of a store holds. Raises StorageFormatError."""
    with _explaining("read", store), closing(connect(draft)) as connection:
        check_content(connection, store)
        return _read_facts(connection)


def _read_facts(connection: sqlite3.Connection) -> SnapshotFacts:
    objects = 0
    rows = connection.execute(
        "SELECT current.key, log.value, current.revision, log.checksum FROM current "
        "LEFT JOIN log ON log.revision = current.revision"
    )
    for key, value, revision, checksum in rows:
        check_value(key, value, revision, checksum)
        objects += 1
    return SnapshotFacts(revision=read_revision(connection, at_least=0), objects=objects)


def _begin_anew(draft: Path, snapshot: Path, revision: int) -> SnapshotFacts:
    """Forget the history and begin at a revision."""
    check_files(draft)
    with closing(connect(draft)) as connection:
        check_content(connection, snapshot)
        _read_facts(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN")
        connection.execute("DELETE FROM log WHERE revision NOT IN (SELECT revision FROM current)")
        connection.execute(
            "INSERT INTO log (revision, key, previous, type) VALUES (?, ?, 0, ?)",
            (revision, RESTORED_KEY, TYPE_CODES[ChangeType.DELETED]),
        )
        connection.execute("UPDATE compaction SET revision = ?", (revision,))
        connection.execute("COMMIT")
        return _read_facts(connection)


def _choose_revision(store: Path, draft: Path) -> int:
    """A revision above all that clients can have seen, remembered for the restore after this one.

    The store may be too damaged to tell its revision; that of the last restore then stands for it.
    """
    record = store.with_name(f"{store.name}.revision")
    remembered = int(record.read_text()) if record.exists() else 0
    revision = max(remembered, *(_find_revision(path) for path in (store, draft))) + REVISION_STEP
    draft_record = record.with_name(f"{record.name}.draft")
    with draft_record.open("w") as file:
        file.write(str(revision))
        file.flush()
        os.fsync(file.fileno())
    draft_record.replace(record)
    return revision


def _find_revision(path: Path) -> int:
    """The newest revision of a database as far as it can be read, 0 if it cannot."""
    try:
        with closing(_connect_read_only(path)) as connection:
            return read_revision(connection, at_least=0)
    except sqlite3.Error:
        return 0
