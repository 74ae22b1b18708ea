"""A damaged store is refused with advice, or it is not damaged: nothing acknowledged is ever missing in silence."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control.storage.protocol import StorageError, StorageFormatError
from control.storage.sqlite import SqliteStorage
from control.storage.sqlite_file import write_ahead_log_of

#: Enough for several pages of each table, with values that spill over into pages of their own.
SIZES = (30, 300, 3000, 30_000)
Contents = dict[str, bytes]


async def write(path: Path) -> Contents:
    """Fill a store and return what it holds; its files stay as a crash leaves them."""
    noise = random.Random(1)
    contents = {f"/k/{number:03}": noise.randbytes(SIZES[number % 4]) for number in range(120)}
    storage = await SqliteStorage.open(path)
    for key, value in contents.items():
        revision = await storage.create(key, b"before")
        await storage.update(key, value, expected_revision=revision)
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{path}.crashed{suffix}")
    await storage.close()
    for suffix in ("", "-wal"):
        shutil.move(f"{path}.crashed{suffix}", f"{path}{suffix}")
    return contents


async def read(path: Path) -> Contents:
    """What a store holds. Raises StorageError."""
    storage = await SqliteStorage.open(path)
    try:
        return {item.key: item.value for item in (await storage.list_prefix("/k/")).items}
    finally:
        await storage.close()


def refusal_of(path: Path, wanted: Contents) -> str:
    """Why a store does not open; empty if it opens, which it may only with everything in it."""
    try:
        found = asyncio.run(read(path))
    except StorageError as error:
        return str(error)
    assert found == wanted
    return ""


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contents]:
    """A store that was not closed: part of it is in the write-ahead log."""
    path = tmp_path_factory.mktemp("crashed") / "s.db"
    return path, asyncio.run(write(path))


@pytest.fixture(scope="module")
def closed(crashed: tuple[Path, Contents], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contents]:
    """A store that is in one file."""
    path = tmp_path_factory.mktemp("closed") / "s.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{crashed[0]}{suffix}", f"{path}{suffix}")
    assert asyncio.run(read(path)) == crashed[1]
    return path, crashed[1]


def copy_of(path: Path, place: Path) -> Path:
    place.mkdir(exist_ok=True)
    for name in ("s.db", "s.db-wal", "s.db-shm", "s.db.lock"):
        (place / name).unlink(missing_ok=True)
        if (path.parent / name).exists():
            shutil.copy(path.parent / name, place / name)
    return place / "s.db"


def test_a_crashed_store_is_complete(crashed: tuple[Path, Contents], tmp_path: Path) -> None:
    path = copy_of(crashed[0], tmp_path)
    assert write_ahead_log_of(path).stat().st_size > 100_000
    assert asyncio.run(read(path)) == crashed[1]


PROPERTY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
OFFSETS = st.floats(0, 1, exclude_max=True)
GARBAGE = st.sampled_from([b"\0", b"\xff", b"\x5a"]) | st.binary(min_size=1, max_size=16)
LENGTHS = st.sampled_from([1, 24, 512, 4096, 20_000])


def overwrite(path: Path, offset: float, filling: bytes, length: int) -> None:
    content = bytearray(path.read_bytes())
    start = int(offset * len(content))
    end = min(len(content), start + length)
    content[start:end] = (filling * length)[: end - start]
    path.write_bytes(content)


@PROPERTY
@given(offset=OFFSETS, filling=GARBAGE, length=LENGTHS)
def test_garbage_in_the_file_is_refused_or_hides_nothing(
    closed: tuple[Path, Contents], tmp_path: Path, offset: float, filling: bytes, length: int
) -> None:
    path = copy_of(closed[0], tmp_path / "copy")
    overwrite(path, offset, filling, length)
    refusal = refusal_of(path, closed[1])
    assert not refusal or "podling snapshot restore FILE" in refusal or "cannot open" in refusal
    assert "\n" not in refusal


@PROPERTY
@given(offset=OFFSETS)
def test_a_truncated_file_is_refused(closed: tuple[Path, Contents], tmp_path: Path, offset: float) -> None:
    path = copy_of(closed[0], tmp_path / "copy")
    with path.open("r+b") as file:
        file.truncate(int(offset * path.stat().st_size))
    with pytest.raises(StorageError, match="cannot open"):
        asyncio.run(read(path))


@PROPERTY
@given(offset=st.floats(0, 0.85), filling=GARBAGE, length=LENGTHS)
def test_garbage_in_the_write_ahead_log_is_refused_or_hides_nothing(
    crashed: tuple[Path, Contents], tmp_path: Path, offset: float, filling: bytes, length: int
) -> None:
    """Up to 0.85: behind the end of the log, and in its last transaction, garbage and a cut look the same."""
    path = copy_of(crashed[0], tmp_path / "copy")
    before = write_ahead_log_of(path).read_bytes()
    overwrite(write_ahead_log_of(path), offset, filling, length)
    damaged = write_ahead_log_of(path).read_bytes()
    if refusal := refusal_of(path, crashed[1]):
        assert damaged != before
        assert "write-ahead log" in refusal
        assert write_ahead_log_of(path).read_bytes() == damaged  # the evidence stays


def damage_value(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE log SET value = zeroblob(length(value)) WHERE revision = 101")


def lose_value(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM log WHERE revision = 101")


def rename_key(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE current SET key = key || 'x' WHERE revision = 101")


@pytest.mark.parametrize("damage", [damage_value, lose_value, rename_key])
def test_a_well_shaped_lie_is_noticed_when_it_is_read(
    closed: tuple[Path, Contents], tmp_path: Path, damage: Callable[[sqlite3.Connection], None]
) -> None:
    path = copy_of(closed[0], tmp_path)
    connection = sqlite3.connect(path)
    damage(connection)
    connection.commit()
    connection.close()
    with pytest.raises(StorageFormatError, match=r"cannot read /k/\S+: its value at revision 101 is damaged"):
        asyncio.run(read(path))


def test_an_empty_file_is_no_young_store(tmp_path: Path) -> None:
    (tmp_path / "s.db").touch()
    with pytest.raises(StorageFormatError, match="it is empty"):
        asyncio.run(read(tmp_path / "s.db"))


def test_a_missing_file_beside_its_log_is_no_young_store(crashed: tuple[Path, Contents], tmp_path: Path) -> None:
    path = copy_of(crashed[0], tmp_path)
    path.unlink()
    with pytest.raises(StorageFormatError, match=r"it is missing beside its write-ahead log s\.db-wal"):
        asyncio.run(read(path))


def test_a_creation_that_was_cut_short_begins_again(tmp_path: Path) -> None:
    (tmp_path / "s.db.new").write_bytes(b"half a database")
    assert asyncio.run(read(tmp_path / "s.db")) == {}


def test_a_file_of_format_1_is_upgraded(closed: tuple[Path, Contents], tmp_path: Path) -> None:
    path = copy_of(closed[0], tmp_path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "ALTER TABLE log DROP COLUMN checksum; PRAGMA auto_vacuum=NONE; VACUUM; PRAGMA user_version=1;"
    )
    connection.close()
    assert asyncio.run(read(path)) == closed[1]
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()
