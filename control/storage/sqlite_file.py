"""The SQLite file: opening, refusing what is damaged or foreign, and its tables.

    log(revision, key, previous, type, value)   one row per write; `previous` is the revision of the key's row before
                                                it (0 after a creation); a deletion has no value
    current(key, revision, expires_at)          which log row is a key's present value

A value is thus written once. The state as of revision R is `current` with the rows after R undone by `previous`.
Compaction deletes the rows that were replaced at or before the compacted revision.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import IO

from control.storage.protocol import StorageFormatError, StorageUnavailableError

#: "Podl" in ASCII, in the file's header (PRAGMA application_id).
APPLICATION_ID = 0x506F646C
FORMAT_VERSION = 1
#: The page check reads the whole file; above this size only the header and the tables' shape are checked at start.
CHECKED_BYTES_MAX = 64 * 1024 * 1024

_TABLES = """
CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    previous INTEGER NOT NULL,
    type INTEGER NOT NULL,
    value BLOB
);
CREATE TABLE current (
    key TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    expires_at INTEGER
) WITHOUT ROWID;
CREATE INDEX current_expires_at ON current (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE compaction (revision INTEGER NOT NULL);
INSERT INTO compaction VALUES (0);
"""


def lock_file(path: Path) -> IO[bytes]:
    """Take the lock beside the database: one process at a time. The lock ends with the returned file."""
    try:
        handle = open(f"{path}.lock", "wb")  # noqa: SIM115 - held as long as the store
    except OSError as error:
        raise StorageUnavailableError(f"cannot open {path}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise StorageUnavailableError(f"cannot open {path}: another process is using it") from error
    return handle


def open_writer(path: Path) -> sqlite3.Connection:
    """Open, check and if it is new create the database. Raises StorageFormatError with an explanation."""
    try:
        is_new = not path.exists() or path.stat().st_size == 0
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    except (sqlite3.Error, OSError) as error:
        raise StorageUnavailableError(f"cannot open {path}: {error}") from error
    try:
        if is_new:
            path.chmod(0o600)
            _create(connection)
        else:
            _check(connection, path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA journal_size_limit=16777216")
        connection.execute("PRAGMA cache_size=-8192")
    except sqlite3.OperationalError as error:
        connection.close()
        raise StorageUnavailableError(f"cannot open {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StorageFormatError(f"cannot open {path}: {error}; restore it from a backup or remove it") from error
    except StorageFormatError:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that only reads."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA query_only=1")
    connection.execute("PRAGMA cache_size=-2048")
    return connection


def _create(connection: sqlite3.Connection) -> None:
    connection.executescript(
        f"PRAGMA application_id={APPLICATION_ID}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        f"BEGIN; {_TABLES} PRAGMA user_version={FORMAT_VERSION}; COMMIT;"
    )


def _check(connection: sqlite3.Connection, path: Path) -> None:
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application_id == APPLICATION_ID and version == 0 and not tables:
        _create(connection)  # the process died between creating the file and its tables
        return
    if application_id != APPLICATION_ID:
        raise StorageFormatError(f"cannot open {path}: it is a SQLite database of another program")
    if version > FORMAT_VERSION:
        raise StorageFormatError(f"cannot open {path}: it has format {version}, newer than {FORMAT_VERSION}")
    if not {"log", "current", "compaction"} <= tables:
        raise StorageFormatError(f"cannot open {path}: tables are missing; restore it from a backup or remove it")
    if os.path.getsize(path) <= CHECKED_BYTES_MAX:
        finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if finding != "ok":
            raise StorageFormatError(
                f"cannot open {path}: it is damaged ({finding}); restore it from a backup or remove it"
            )
