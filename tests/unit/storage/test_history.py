"""History is bounded: in the meter's arithmetic, and in the file that a long storm of updates leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.storage import sqlite as sqlite_module
from control.storage.history import HistoryMeter
from control.storage.protocol import Change, ChangeType, CompactedError
from control.storage.sqlite import SqliteStorage
from control.storage.sqlite_write import FREE_PAGES_KEPT

MIB = 1024 * 1024


def change(revision: int, size: int) -> Change:
    return Change(ChangeType.UPDATED, "/k", bytes(size), revision)


@given(sizes=st.lists(st.integers(0, 5000), min_size=1, max_size=200))
def test_the_meter_asks_to_forget_when_there_is_too_much_and_keeps_about_half(sizes: list[int]) -> None:
    limit = 20_000
    meter = HistoryMeter(limit)
    kept: list[tuple[int, int]] = []
    for revision, size in enumerate(sizes, 1):
        meter.note([change(revision, size)])
        kept.append((revision, size))
        total = sum(size for _, size in kept)
        assert meter.is_too_large or total <= limit
        if meter.is_too_large:
            chosen = meter.choose_revision()
            meter.forget(chosen)
            kept = [item for item in kept if item[0] > chosen]
            assert not meter.is_too_large
            assert sum(size for _, size in kept) <= limit // 2


def test_a_meter_that_was_told_of_a_compaction_starts_from_there() -> None:
    meter = HistoryMeter(1000)
    meter.note([change(revision, 200) for revision in range(1, 5)])
    assert meter.is_too_large
    meter.forget(4)
    assert not meter.is_too_large


async def test_a_storm_of_updates_leaves_a_bounded_file_and_the_newest_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "HISTORY_BYTES_MAX", 4 * MIB)
    monkeypatch.setattr(sqlite_module, "COMPACTION_STEP", 100)
    path = tmp_path / "s.db"
    storage = await SqliteStorage.open(path)
    revisions = await asyncio.gather(*(storage.create(f"/k/{number}", b"") for number in range(8)))

    async def storm(key: str, revision: int) -> None:
        for number in range(100):
            revision = await storage.update(key, bytes([number]) * 100_000, expected_revision=revision)

    await asyncio.gather(*(storm(f"/k/{number}", revision) for number, revision in enumerate(revisions)))
    newest = storage.revision
    assert len((await storage.list_prefix("/k/", revision=newest - 10)).items) == 8
    with pytest.raises(CompactedError):
        await storage.list_prefix("/k/", revision=revisions[-1])
    await storage.compact(newest)
    assert path.stat().st_size < 24 * MIB  # 80 MB were written
    await storage.close()


async def test_pages_that_compaction_empties_are_given_back(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    storage = await SqliteStorage.open(path)
    await asyncio.gather(*(storage.create(f"/k/{number}", bytes(50_000)) for number in range(600)))
    for number in range(600):
        await storage.delete(f"/k/{number}")
    await storage.compact(storage.revision)
    await storage.create("/kept", b"")
    await storage.close()
    assert path.stat().st_size < 2 * FREE_PAGES_KEPT * 4096


async def test_more_expiring_keys_than_a_group_go_in_one_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "GROUP_SIZE_MAX", 10)
    storage = await SqliteStorage.open(tmp_path / "s.db")
    await asyncio.gather(*(storage.create(f"/k/{number}", b"", ttl_seconds=-1) for number in range(35)))
    await storage.create("/kept", b"", ttl_seconds=3600)
    await storage.expire()
    assert [item.key for item in (await storage.list_prefix("/")).items] == ["/kept"]
    await storage.close()
