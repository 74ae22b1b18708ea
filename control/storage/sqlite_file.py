"""The SQLite file: opening, refusing what is damaged or foreign, and its tables.

    log(revision, key, previous, type, value, checksum)
                                                one row per write; `previous` is the revision of the key's row before
                                                it (0 after a creation); a deletion has no value
    current(key, revision, expires_at)          which log row is a key's present value

A value is thus written once. The state as of revision R is `current` with the rows after R undone by `previous`.
Compaction deletes the rows that were replaced at or before the compacted revision.

The file is made beside its place and moved there complete, so an empty file is never a young store. SQLite checks the
shape of its pages but not what values say: the checksum of each value does that, when it is read.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import zlib
from pathlib import Path
from typing import IO

from control.storage.protocol import StorageError, StorageFormatError, StorageUnavailableError
from control.storage.write_ahead_log import find_damage

#: "Podl" in ASCII, in the file's header (PRAGMA application_id).
APPLICATION_ID = 0x506F646C
#: 2 added the checksums, and pages that can be given back to the file system.
FORMAT_VERSION = 2
#: The page check reads the whole file (about 1 ms a megabyte); above this size the file is opened without it.
CHECKED_BYTES_MAX = 2 * 1024 * 1024 * 1024
RECOVERY = "`podling snapshot restore FILE` brings a snapshot back, `podling delete` gives the cluster up"

_TABLES = """
CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    previous INTEGER NOT NULL,
    type INTEGER NOT NULL,
    value BLOB,
    checksum INTEGER
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
    """Open, check and if there is none create the database. Raises StorageFormatError with an explanation."""
    try:
        finish_restore(path)
        if not path.exists() and not _has_content(write_ahead_log_of(path)):
            _create(path)
        return _open_checked(path)
    except (OSError, sqlite3.Error) as error:
        raise explain("open", path, error) from error


def _open_checked(path: Path) -> sqlite3.Connection:
    check_files(path)
    connection = connect(path)
    try:
        check_content(connection, path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA journal_size_limit=16777216")
        connection.execute("PRAGMA cache_size=-8192")
        # Freed pages are overwritten when they are written anyway: deleting history would else write it all again.
        connection.execute("PRAGMA secure_delete=FAST")
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """Open a database for a connection that no other thread uses at the same time."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that only reads. Raises sqlite3.Error."""
    connection = connect(path)
    connection.execute("PRAGMA query_only=1")
    connection.execute("PRAGMA cache_size=-2048")
    return connection


def write_ahead_log_of(path: Path) -> Path:
    """The file in which SQLite keeps the newest transactions of a database."""
    return path.with_name(f"{path.name}-wal")


def explain(action: str, path: Path, error: OSError | sqlite3.Error) -> StorageError:
    """Turn what SQLite or the system raised into an error of the store that says what to do."""
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return StorageFormatError(f"cannot {action} {path}: {error}; {RECOVERY}")
    cause = error.strerror if isinstance(error, OSError) and error.strerror else error
    return StorageUnavailableError(f"cannot {action} {path}: {cause}")


def _damaged(path: Path, finding: str) -> StorageFormatError:
    return StorageFormatError(f"cannot open {path}: it is damaged ({finding}); {RECOVERY}")


def value_checksum(key: str, value: bytes, revision: int) -> int:
    """The checksum of a row: of its value under its key at its revision."""
    return zlib.crc32(value, zlib.crc32(key.encode(), revision & 0xFFFFFFFF))


def check_value(key: str, value: bytes | None, revision: int, checksum: int | None) -> bytes:
    """Return the value of a row if it is what was written. Raises StorageFormatError."""
    # Rows of files of format 1 have no checksum.
    if value is None or (checksum is not None and checksum != value_checksum(key, value, revision)):
        raise StorageFormatError(f"cannot read {key}: its value at revision {revision} is damaged; {RECOVERY}")
    return value


# --- making ---------------------------------------------------------------------------------------------------------


def _create(path: Path) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    connection = connect(draft)
    try:
        draft.chmod(0o600)
        connection.executescript(
            # A draft that is cut short is thrown away: one flush when it is complete is enough.
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            f"PRAGMA auto_vacuum=INCREMENTAL; PRAGMA application_id={APPLICATION_ID};"
            f"BEGIN; {_TABLES} PRAGMA user_version={FORMAT_VERSION}; COMMIT;"
        )
    finally:
        connection.close()
    _sync(draft)
    draft.replace(path)
    sync_directory(path)


def sync_directory(path: Path) -> None:
    """Make a file's new name survive a power cut."""
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- judging --------------------------------------------------------------------------------------------------------


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def check_files(path: Path) -> None:
    """Judge the files before SQLite sees them. Raises StorageFormatError."""
    log = write_ahead_log_of(path)
    if not path.exists():
        raise _damaged(path, f"it is missing beside its write-ahead log {log.name}")
    if path.stat().st_size == 0:
        raise _damaged(path, "it is empty")
    if log.exists() and (finding := find_damage(log.read_bytes())):
        raise _damaged(path, finding)


def check_content(connection: sqlite3.Connection, path: Path) -> None:
    """Judge a database and bring it to the present format. Raises StorageFormatError, sqlite3.Error."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application_id != APPLICATION_ID:
        raise StorageFormatError(f"cannot open {path}: it is a SQLite database of another program")
    if version > FORMAT_VERSION:
        raise StorageFormatError(f"cannot open {path}: it has format {version}, newer than {FORMAT_VERSION}")
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"log", "current", "compaction"} <= tables:
        raise _damaged(path, "tables are missing")
    if os.path.getsize(path) <= CHECKED_BYTES_MAX:
        finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if finding != "ok":
            raise _damaged(path, finding.splitlines()[-1])
    if version < FORMAT_VERSION:
        _upgrade(connection)


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring a file of format 1 to format 2; its old rows stay without checksums."""
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("VACUUM")
    connection.executescript(
        f"BEGIN; ALTER TABLE log ADD COLUMN checksum INTEGER; PRAGMA user_version={FORMAT_VERSION}; COMMIT;"
    )


# --- a restored snapshot --------------------------------------------------------------------------------------------


def pending_restore(path: Path) -> Path:
    """Where a database waits that shall take the place of another."""
    return path.with_name(f"{path.name}.restored")


def finish_restore(path: Path) -> None:
    """Put a database that waits in its place; what was there is kept as `.replaced`. Raises OSError.

    The old write-ahead log goes first, or SQLite would apply it to the new database. A crash in between is finished by
    the next call, which every opening begins with.
    """
    pending = pending_restore(path)
    if not pending.exists():
        return
    kept = path.with_name(f"{path.name}.replaced")
    write_ahead_log = write_ahead_log_of(path)
    if write_ahead_log.exists():
        write_ahead_log.replace(write_ahead_log_of(kept))
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    if path.exists():
        path.replace(kept)
    sync_directory(path)
    pending.replace(path)
    sync_directory(path)
