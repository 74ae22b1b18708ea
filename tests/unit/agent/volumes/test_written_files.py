"""A refresh reads no file that nobody has touched, and repairs each that somebody has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from agent.volumes.atomic_writer import FileContent, write_files
from agent.volumes.pod_volumes import PodVolumes
from agent.volumes.written_files import WrittenFiles
from control.api.clock import FakeClock
from tests.fakes.objects import FakeObjects, make_pod

POD = make_pod({"name": "v", "configMap": {"name": "c", "items": [{"key": "a", "path": "deep/a"}]}})
TEXT = "text"


class Node:
    """One Pod with one volume of one file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = FakeObjects()
        self.objects.set_config_map("c", {"a": TEXT})
        self.clock = FakeClock()
        self.volumes = self.start_again()

    def start_again(self) -> PodVolumes:
        """Another agent on the same disk."""
        self.volumes = PodVolumes(root=self.root, objects=self.objects, clock=self.clock, may_mount=False)
        return self.volumes

    async def mount(self) -> Path:
        return (await self.volumes.mount_all(POD))["v"].host_path

    async def refresh(self) -> None:
        await self.volumes.refresh(POD, self.objects)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "pods")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read from now on."""
    paths: list[Path] = []
    original = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        paths.append(path)
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    return paths


async def test_an_agent_reads_what_another_has_written_once(node: Node, read: list[Path]) -> None:
    place = await node.mount()
    await node.refresh()
    assert read == []
    node.start_again()
    await node.refresh()
    await node.refresh()
    assert read == [(place / "deep/a").resolve()]


async def test_a_changed_object_is_written(node: Node) -> None:
    place = await node.mount()
    node.objects.set_config_map("c", {"a": "TEXT"})
    await node.refresh()
    assert (place / "deep/a").read_text() == "TEXT"


def overwrite(place: Path) -> None:
    """As long as before, and as old."""
    file = place / "deep/a"
    before = file.stat()
    file.write_text("TEXT")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


DAMAGE: list[Callable[[Path], object]] = [
    overwrite,
    lambda place: (place / "deep/a").unlink(),
    lambda place: (place / "deep").unlink(),
    lambda place: (place / "..data").unlink(),
    lambda place: shutil.rmtree((place / "..data").resolve()),
    lambda place: shutil.rmtree(place),
    lambda place: ((place / "..data").resolve() / "added").write_text("x"),
]
NAMES = ["overwritten", "removed", "link removed", "data link removed", "files removed", "all removed", "file added"]


@pytest.mark.parametrize("agent", ["same", "next"])
@pytest.mark.parametrize("damage", DAMAGE, ids=NAMES)
async def test_damaged_files_are_repaired(node: Node, damage: Callable[[Path], object], agent: str) -> None:
    place = await node.mount()
    damage(place)
    if agent == "next":
        node.start_again()
    await node.refresh()
    assert (place / "deep/a").read_text() == TEXT
    assert [entry.name for entry in (place / "..data").resolve().iterdir()] == ["deep"]


def test_nothing_is_remembered_of_a_pod_that_is_gone(tmp_path: Path) -> None:
    files = {"a": FileContent(data=b"x")}
    write_files(tmp_path, files, now=datetime(2026, 1, 1))
    written = WrittenFiles()
    written.note("uid-1", tmp_path, files)
    assert written.has("uid-1", tmp_path, files)
    written.forget_pod("uid-1")
    assert not written.has("uid-1", tmp_path, files)
