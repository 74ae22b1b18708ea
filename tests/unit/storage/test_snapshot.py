"""Snapshots: consistent while the store is written, refused when damaged, no revision twice after a restore."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control.storage import sqlite_file
from control.storage.protocol import CompactedError, StorageFormatError, StorageUnavailableError
from control.storage.snapshot import REVISION_STEP, SnapshotFacts, restore_snapshot, save_snapshot
from control.storage.sqlite import SqliteStorage
from control.storage.sqlite_file import write_ahead_log_of


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStorage]:
    storage = await SqliteStorage.open(path)
    try:
        yield storage
    finally:
        await storage.close()


async def contents(path: Path) -> dict[str, bytes]:
    async with opened(path) as storage:
        return {item.key: item.value for item in (await storage.list_prefix("/")).items}


async def make_snapshot(place: Path) -> tuple[Path, Path, SnapshotFacts]:
    """A closed store of ten keys and its snapshot."""
    store, snapshot = place / "s.db", place / "saved"
    async with opened(store) as storage:
        for number in range(10):
            await storage.create(f"/k/{number}", b"saved")
    return store, snapshot, save_snapshot(store, snapshot)


async def test_a_snapshot_brings_back_what_was_saved(tmp_path: Path) -> None:
    store, snapshot, facts = await make_snapshot(tmp_path)
    assert facts == SnapshotFacts(revision=11, objects=10)
    saved = await contents(store)
    async with opened(store) as storage:
        await storage.delete("/k/0")
        await storage.create("/later", b"")
    assert restore_snapshot(snapshot, store).objects == 10
    assert await contents(store) == saved


async def test_a_snapshot_is_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    _, snapshot, _ = await make_snapshot(tmp_path)
    assert snapshot.stat().st_mode & 0o777 == 0o600
    assert set(os.listdir(tmp_path)) <= {"s.db", "s.db.lock", "s.db-wal", "s.db-shm", "saved"}


async def test_a_snapshot_of_a_store_in_use_is_of_one_moment(tmp_path: Path) -> None:
    """Two keys change in turns, so that every state has them equal or one apart."""
    store, snapshot = tmp_path / "s.db", tmp_path / "saved"
    async with opened(store) as storage:
        left = await storage.create("/left", b"0")
        right = await storage.create("/right", b"0")
        seen: list[tuple[int, int]] = []

        async def write() -> None:
            nonlocal left, right
            for number in range(1, 400):
                left = await storage.update("/left", b"%d" % number, expected_revision=left)
                right = await storage.update("/right", b"%d" % number, expected_revision=right)

        writer = asyncio.create_task(write())
        while not writer.done():
            await asyncio.to_thread(save_snapshot, store, snapshot)
            copy = tmp_path / f"copy-{len(seen)}.db"
            await asyncio.to_thread(restore_snapshot, snapshot, copy)
            found = await contents(copy)
            seen.append((int(found["/left"]), int(found["/right"])))
        await writer
    assert all(left - right in (0, 1) for left, right in seen)
    assert len(set(seen)) > 1


async def test_a_restored_store_goes_on_above_all_that_clients_have_seen(tmp_path: Path) -> None:
    store, snapshot, facts = await make_snapshot(tmp_path)
    async with opened(store) as storage:
        newest = await storage.create("/later", b"1")
    restored = restore_snapshot(snapshot, store)
    assert restored.revision == newest + REVISION_STEP
    async with opened(store) as storage:
        assert storage.revision == restored.revision
        for old in (facts.revision, newest):
            with pytest.raises(CompactedError):
                await storage.list_prefix("/", revision=old)
            with pytest.raises(CompactedError):
                await anext(storage.watch("/", after_revision=old))
        assert len((await storage.list_prefix("/", revision=restored.revision)).items) == 10
        assert await storage.create("/later", b"2") == restored.revision + 1
        await storage.compact(storage.revision)
    async with opened(store) as storage:
        assert storage.revision == restored.revision + 1


async def test_two_restores_of_one_snapshot_never_share_a_revision_even_if_the_store_between_is_lost(
    tmp_path: Path,
) -> None:
    store, snapshot, _ = await make_snapshot(tmp_path)
    first = restore_snapshot(snapshot, store).revision
    async with opened(store) as storage:
        newest = await storage.create("/x", b"1")
    store.write_bytes(b"\xff" * 5000)
    write_ahead_log_of(store).unlink(missing_ok=True)
    assert restore_snapshot(snapshot, store).revision > max(first, newest)


async def test_a_damaged_store_is_kept_and_replaced(tmp_path: Path) -> None:
    store, snapshot, _ = await make_snapshot(tmp_path)
    store.write_bytes(b"\xff" * 5000)
    write_ahead_log_of(store).write_bytes(b"\xee" * 5000)
    with pytest.raises(StorageFormatError):
        await SqliteStorage.open(store)
    restore_snapshot(snapshot, store)
    assert len(await contents(store)) == 10
    assert (tmp_path / "s.db.replaced").read_bytes() == b"\xff" * 5000
    assert (tmp_path / "s.db.replaced-wal").read_bytes() == b"\xee" * 5000


async def test_a_store_in_use_is_not_replaced(tmp_path: Path) -> None:
    store, snapshot, _ = await make_snapshot(tmp_path)
    async with opened(store) as storage:
        await storage.create("/later", b"")
        with pytest.raises(StorageUnavailableError, match="another process is using it"):
            restore_snapshot(snapshot, store)
    assert b"" in (await contents(store)).values()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), cut=st.booleans())
def test_a_snapshot_that_was_changed_is_refused_and_nothing_is_replaced(
    tmp_path_factory: pytest.TempPathFactory, offset: float, flip: int, cut: bool
) -> None:
    place = tmp_path_factory.getbasetemp() / "changed"
    place.mkdir(exist_ok=True)
    store, snapshot = place / "s.db", place / "saved"
    if not snapshot.exists():
        asyncio.run(make_snapshot(place))
    before, content = store.read_bytes(), bytearray(snapshot.read_bytes())
    position = int(offset * len(content))
    content[position] ^= flip
    changed = place / "changed"
    changed.write_bytes(content[:position] if cut else content)
    with pytest.raises(StorageFormatError, match="its checksum does not match; it is no snapshot, or it is damaged"):
        restore_snapshot(changed, store)
    assert store.read_bytes() == before


async def test_a_snapshot_of_a_damaged_store_is_refused_and_the_last_one_stays(tmp_path: Path) -> None:
    store, snapshot, _ = await make_snapshot(tmp_path)
    before = snapshot.read_bytes()
    content = bytearray(store.read_bytes())
    position = content.index(b"saved")
    content[position : position + 5] = b"seved"
    store.write_bytes(content)
    with pytest.raises(StorageFormatError, match="its value at revision"):
        save_snapshot(store, snapshot)
    assert snapshot.read_bytes() == before


async def test_a_store_that_does_not_exist_is_not_made_by_saving_it(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError, match="there is no such file"):
        save_snapshot(tmp_path / "s.db", tmp_path / "saved")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("renames_before_crash", [0, 1, 2])
async def test_a_restore_that_was_cut_short_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames_before_crash: int
) -> None:
    store, snapshot, _ = await make_snapshot(tmp_path)
    async with opened(store) as storage:
        await storage.create("/later", b"")
        for suffix in ("", "-wal"):
            shutil.copy(f"{store}{suffix}", tmp_path / f"crash{suffix}")
    for suffix in ("", "-wal"):
        shutil.move(tmp_path / f"crash{suffix}", f"{store}{suffix}")
    left = renames_before_crash
    rename = Path.replace

    def replace(self: Path, target: Path) -> Path:
        nonlocal left
        if self.name.startswith("s.db") and not self.name.endswith(".draft"):
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file.Path, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            restore_snapshot(snapshot, store)
    found = await contents(store)
    assert len(found) == 10
    assert "/later" not in found
