"""Reading json-file logs: what is selected, in which form, and following through stops and rotations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime import log_files
from agent.runtime.log_files import read_log
from agent.runtime.log_options import LogOptions


def record(text: str, *, second: int = 0, stream: str = "stdout", fraction: str = "123456789") -> str:
    time = f"2026-11-20T10:00:{second:02d}.{fraction}Z"
    return json.dumps({"log": text, "stream": stream, "time": time}, separators=(",", ":")) + "\n"


async def stopped() -> bool:
    return False


async def running() -> bool:
    return True


async def read(path: Path, **options: object) -> str:
    chunks = read_log(path, LogOptions(**options), is_running=stopped)  # type: ignore[arg-type]
    return b"".join([chunk async for chunk in chunks]).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "x-json.log"
    lines = [record(f"line {number}\n", second=number) for number in range(6)]
    lines[3] = record("line 3\n", second=3, stream="stderr")
    (tmp_path / "x-json.log.2").write_text("".join(lines[:2]))
    (tmp_path / "x-json.log.1").write_text("".join(lines[2:4]))
    path.write_text("".join(lines[4:]))
    return path


def lines(*numbers: int) -> str:
    return "".join(f"line {number}\n" for number in numbers)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, lines(0, 1, 2, 3, 4, 5), id="everything, oldest file first"),
        pytest.param({"tail_lines": 1}, lines(5), id="tail within the newest file"),
        pytest.param({"tail_lines": 3}, lines(3, 4, 5), id="tail over a rotation"),
        pytest.param({"tail_lines": 5}, lines(1, 2, 3, 4, 5), id="tail over two rotations"),
        pytest.param({"tail_lines": 0}, "", id="tail nothing"),
        pytest.param({"tail_lines": 99}, lines(0, 1, 2, 3, 4, 5), id="tail more than there is"),
        pytest.param({"since": datetime(2026, 11, 20, 10, 0, 4, tzinfo=UTC)}, lines(4, 5), id="since"),
        pytest.param({"stream": "stderr"}, lines(3), id="one stream"),
        pytest.param({"limit_bytes": 10}, "line 0\nlin", id="byte limit"),
        pytest.param({"limit_bytes": 0}, "", id="byte limit zero"),
        pytest.param({"tail_lines": 1, "timestamps": True}, "2026-11-20T10:00:05.123456789Z line 5\n", id="timestamps"),
    ],
)
async def test_read(log: Path, options: dict[str, object], expected: str) -> None:
    assert await read(log, **options) == expected


async def test_a_log_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    assert await read(tmp_path / "none.log") == ""


async def test_a_long_line_in_several_records_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x-json.log"
    path.write_text(record("before\n") + record("long ") + record("er\n") + record("after\n", fraction="5"))

    assert await read(path, tail_lines=2) == "long er\nafter\n"
    assert (await read(path, tail_lines=2, timestamps=True)).splitlines() == [
        "2026-11-20T10:00:00.123456789Z long er",
        "2026-11-20T10:00:00.500000000Z after",
    ]


async def test_a_torn_record_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x-json.log"
    path.write_text(record("a\n") + '{"log":"to\n' + record("b\n") + '{"log":"half')

    assert await read(path) == "a\nb\n"
    assert await read(path, tail_lines=1) == "b\n"


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(0, 25), st.integers(1, 200))
def test_tail_is_the_end_of_the_whole_for_any_block_size(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], count: int, block: int
) -> None:
    texts = [text.replace("\n", "") for text in texts]
    path = tmp_path_factory.mktemp("log") / "x-json.log"
    path.write_text("".join(record(f"{text}\n") for text in texts))
    before, log_files.BLOCK_BYTES = log_files.BLOCK_BYTES, block
    try:
        output = asyncio.run(read(path, tail_lines=count))
    finally:
        log_files.BLOCK_BYTES = before

    assert output == "".join(f"{text}\n" for text in texts[len(texts) - min(count, len(texts)) :])


class Follower:
    """A follower whose output is awaited piece by piece."""

    def __init__(self, path: Path) -> None:
        self.is_running = True
        self._chunks: AsyncIterator[bytes] = read_log(path, LogOptions(follow=True), is_running=self._running)

    async def _running(self) -> bool:
        return self.is_running

    async def until(self, text: str) -> None:
        """Read until exactly this has come."""
        received = ""
        async with asyncio.timeout(60):
            while received != text:
                received += (await anext(self._chunks)).decode()
                assert text.startswith(received)

    async def ends(self) -> None:
        """Nothing more comes."""
        async with asyncio.timeout(60):
            assert [chunk async for chunk in self._chunks] == []


def rotate(path: Path, text: str) -> None:
    path.rename(path.with_name(f"{path.name}.1"))
    path.write_text(text)


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


async def test_follow_goes_on_through_rotations_until_the_container_stops(log: Path) -> None:
    follower = Follower(log)
    await follower.until(lines(0, 1, 2, 3, 4, 5))

    append(log, record("line 6\n"))
    await follower.until(lines(6))
    append(log, record("line 7\n"))
    rotate(log, record("line 8\n"))
    await follower.until(lines(7, 8))
    append(log, record("line 9\n"))
    follower.is_running = False
    await follower.until(lines(9))
    await follower.ends()


async def test_follow_waits_for_a_record_to_be_whole(tmp_path: Path) -> None:
    path = tmp_path / "x-json.log"
    whole = record("first\n")
    path.write_text(whole[:10])
    follower = Follower(path)
    reading = asyncio.ensure_future(follower.until("first\n"))
    await asyncio.sleep(0)

    append(path, whole[10:])

    await reading
    follower.is_running = False
    await follower.ends()


async def test_follow_of_a_log_that_does_not_exist_yet(tmp_path: Path) -> None:
    path = tmp_path / "x-json.log"
    follower = Follower(path)
    reading = asyncio.ensure_future(follower.until("first\n"))
    await asyncio.sleep(0)

    path.write_text(record("first\n"))

    await reading
    follower.is_running = False
    await follower.ends()
