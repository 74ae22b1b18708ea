"""The SQLite file: what is refused at open, what survives kill -9, a full disk."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from control.api.clock import FakeClock
from control.storage import sqlite as sqlite_module
from control.storage.protocol import CompactedError, StorageFormatError, StorageUnavailableError
from control.storage.sqlite import COMPACTION_INTERVAL_SECONDS, SqliteStorage


async def fill(path: Path, count: int = 50) -> None:
    storage = await SqliteStorage.open(path)
    await asyncio.gather(*(storage.create(f"/k/{number:03}", b"v" * 500) for number in range(count)))
    await storage.close()


async def test_what_was_acknowledged_is_there_after_reopening(tmp_path: Path) -> None:
    await fill(tmp_path / "s.db")
    storage = await SqliteStorage.open(tmp_path / "s.db")
    listed = await storage.list_prefix("/k/")
    assert len(listed.items) == 50
    assert storage.revision == max(item.revision for item in listed.items)
    await storage.close()


async def test_the_revision_never_goes_back_even_if_the_newest_change_is_a_compacted_deletion(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "s.db")
    await storage.create("/a", b"")
    deleted = await storage.delete("/a")
    await storage.compact(deleted)
    await storage.close()
    storage = await SqliteStorage.open(tmp_path / "s.db")
    assert storage.revision == deleted
    assert await storage.create("/a", b"") == deleted + 1
    await storage.close()


async def test_history_is_forgotten_after_a_while_and_the_log_stays_small(tmp_path: Path) -> None:
    clock = FakeClock()
    storage = await SqliteStorage.open(tmp_path / "s.db", clock=clock)
    revision = await storage.create("/lease", b"0")
    for _ in range(50):
        revision = await storage.update("/lease", b"x", expected_revision=revision)
    await asyncio.sleep(0)
    while True:  # the compaction is real work between the turns of the clock
        await clock.advance(COMPACTION_INTERVAL_SECONDS)
        try:
            await storage.list_prefix("/", revision=revision - 1)
        except CompactedError:
            break
    await storage.close()
    file = sqlite3.connect(tmp_path / "s.db")
    assert file.execute("SELECT count(*) FROM log").fetchone() == (1,)
    file.close()


async def test_a_long_history_is_compacted_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "COMPACTION_STEP", 7)
    storage = await SqliteStorage.open(tmp_path / "s.db")
    for number in range(40):
        await storage.create(f"/k/{number:02}", b"")
        if number % 2:
            await storage.delete(f"/k/{number:02}")
    then = await storage.list_prefix("/k/")
    await storage.compact(storage.revision)
    assert (await storage.list_prefix("/k/", revision=then.revision)).items == then.items
    with pytest.raises(CompactedError) as error:
        await storage.list_prefix("/k/", revision=then.revision - 1)
    assert error.value.compacted_revision == then.revision
    await storage.close()


async def test_the_file_is_private(tmp_path: Path) -> None:
    await fill(tmp_path / "s.db", 1)
    assert (tmp_path / "s.db").stat().st_mode & 0o077 == 0


async def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "s.db")
    with pytest.raises(StorageUnavailableError, match="another process is using it"):
        await SqliteStorage.open(tmp_path / "s.db")
    await storage.close()
    await (await SqliteStorage.open(tmp_path / "s.db")).close()


async def test_a_foreign_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE theirs (x)")
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(StorageFormatError, match="database of another program"):
        await SqliteStorage.open(path)
    assert path.read_bytes() == before


async def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    await fill(path, 1)
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StorageFormatError, match="format 99, newer than"):
        await SqliteStorage.open(path)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"hello, this is text\n" * 500)
    with pytest.raises(StorageFormatError, match=r"cannot open .*: file is not a database"):
        await SqliteStorage.open(path)


async def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    await fill(path, 400)
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(StorageFormatError, match=r"it is damaged \(.*\); `podling snapshot restore FILE` brings"):
        await SqliteStorage.open(path)


async def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError, match=r"cannot open .*none/s\.db"):
        await SqliteStorage.open(tmp_path / "none" / "s.db")


STORM = """
import asyncio, sys
from control.storage.sqlite import SqliteStorage

async def main():
    storage = await SqliteStorage.open(sys.argv[1])
    async def write(writer):
        number = 0
        while True:
            key = f"/storm/{writer}/{number:06}"
            revision = await storage.create(key, key.encode() * 20)
            sys.stdout.write(f"{key} {revision}\\n")
            sys.stdout.flush()
            number += 1
    await asyncio.gather(*(write(writer) for writer in range(16)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged_before_kill", [1, 300, 2000])
async def test_acknowledged_writes_survive_kill_9_in_a_write_storm(
    tmp_path: Path, acknowledged_before_kill: int
) -> None:
    path = tmp_path / "s.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STORM, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(acknowledged_before_kill)]
    process.send_signal(signal.SIGKILL)
    lines += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    acknowledged = dict(line.decode().split() for line in lines if line.endswith(b"\n"))

    storage = await SqliteStorage.open(path)
    found = {item.key: item for item in (await storage.list_prefix("/storm/")).items}
    await storage.close()
    missing = {
        key for key, revision in acknowledged.items() if key not in found or found[key].revision != int(revision)
    }
    assert len(acknowledged) >= acknowledged_before_kill
    assert not missing
    assert all(item.value == item.key.encode() * 20 for item in found.values())
    assert len({item.revision for item in found.values()}) == len(found)


FULL_DISK = """
import asyncio, resource, signal, sys
from control.storage.protocol import StorageUnavailableError
from control.storage.sqlite import SqliteStorage

async def main():
    storage = await SqliteStorage.open(sys.argv[1])
    seen = []
    storage.subscribe(lambda changes: seen.extend(change.key for change in changes))
    await storage.create("/before", b"b")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    refused = written = 0
    for number in range(40):
        try:
            await storage.create(f"/big/{number:02}", b"x" * 20_000)
            written += 1
        except StorageUnavailableError:
            refused += 1
    assert refused > 0, "the limit was never met"
    assert (await storage.get("/before")).value == b"b"
    listed = await storage.list_prefix("/big/")
    assert len(listed.items) == written == len(seen) - 1, (len(listed.items), written, len(seen))
    assert storage.revision == listed.revision
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert await storage.create("/after", b"a") == listed.revision + 1
    await storage.close()

asyncio.run(main())
"""


def test_a_full_disk_refuses_writes_while_reads_go_on_and_writes_resume(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "s.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr


async def test_concurrent_writes_are_committed_as_groups(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "s.db")
    groups: list[int] = []
    storage.subscribe(lambda changes: groups.append(len(changes)))
    await asyncio.gather(*(storage.create(f"/k/{number}", b"") for number in range(500)))
    assert sum(groups) == 500
    assert len(groups) < 100
    await storage.close()


async def test_a_cancelled_writer_does_not_harm_its_group(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "s.db")
    writers = [asyncio.ensure_future(storage.create(f"/k/{number}", b"")) for number in range(5)]
    await asyncio.sleep(0)
    writers[2].cancel()
    results = await asyncio.gather(*writers, return_exceptions=True)
    assert [type(item) for item in results].count(int) == 4
    await storage.close()
