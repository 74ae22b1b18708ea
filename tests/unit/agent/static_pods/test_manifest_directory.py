"""A directory of manifests, read as it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agent.static_pods.manifest_directory import ManifestDirectory
from control.api.clock import FakeClock, SystemClock

MANIFEST = (
    "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: {image}}}]}}\n"
)


def directory_of(path: Path, problems: list[str], clock: Any = None) -> ManifestDirectory:
    return ManifestDirectory(
        path, node_name="n", shares_processes=False, clock=clock or FakeClock(), report=problems.append
    )


def write(path: Path, name: str, image: str = "i:1") -> None:
    path.write_text(MANIFEST.format(name=name, image=image))


async def test_files_are_pods_but_for_those_with_a_dot_and_directories(tmp_path: Path) -> None:
    write(tmp_path / "b.yaml", "b")
    write(tmp_path / "a.json", "a")
    write(tmp_path / ".a.yaml.swp", "c")
    (tmp_path / "more").mkdir()
    problems: list[str] = []
    pods = await directory_of(tmp_path, problems).read()
    assert [pod["metadata"]["name"] for pod in pods] == ["a-n", "b-n"]
    assert problems == []


async def test_a_bad_file_stops_no_other_and_is_reported_once(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "a")
    (tmp_path / "b.yaml").write_text("kind: Pod")
    write(tmp_path / "c.yaml", "a", "i:2")
    problems: list[str] = []
    directory = directory_of(tmp_path, problems)
    for _ in range(2):
        assert [pod["spec"]["containers"][0]["image"] for pod in await directory.read()] == ["i:1"]
    assert problems == [
        f"cannot use manifest {tmp_path / 'b.yaml'}: it is no Pod of v1",
        f"cannot use manifest {tmp_path / 'c.yaml'}: another file defines Pod default/a-n already",
    ]


async def test_what_is_seen_again_keeps_the_time_of_the_first_time(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "a")
    clock = FakeClock()
    directory = directory_of(tmp_path, [], clock)
    first = await directory.read()
    await clock.advance(60)
    assert await directory.read() == first


async def test_a_directory_that_is_not_there_has_no_pods(tmp_path: Path) -> None:
    assert await directory_of(tmp_path / "none", []).read() == []


async def test_new_changed_and_removed_files_are_noticed_at_once(tmp_path: Path) -> None:
    seen: asyncio.Queue[list[str]] = asyncio.Queue()
    directory = directory_of(tmp_path, [], SystemClock())
    running = asyncio.ensure_future(
        directory.run(lambda pods: seen.put_nowait([pod["spec"]["containers"][0]["image"] for pod in pods]))
    )
    await asyncio.sleep(0)
    for change, expected in (
        (lambda: write(tmp_path / "a.yaml", "a"), ["i:1"]),
        (lambda: write(tmp_path / "a.yaml", "a", "i:2"), ["i:2"]),
        (lambda: (tmp_path / "a.yaml").unlink(), []),
    ):
        change()
        async with asyncio.timeout(60):
            while await seen.get() != expected:
                pass
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
