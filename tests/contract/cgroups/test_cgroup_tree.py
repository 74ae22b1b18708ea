"""What the agent relies on of cgroups: the same on the kernel and on the fake."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cgroups.control_files import control_files
from agent.cgroups.limits import PodLimits
from agent.cgroups.tree import CgroupTree, LinuxCgroupTree
from tests.fakes.cgroup_tree import FakeCgroupTree

LIMITS = PodLimits(cpu_shares=512, cpu_quota_microseconds=50_000, memory_bytes=16 << 20, pids_max=20)


@pytest.fixture(
    params=[
        pytest.param("1", id="fake v1"),
        pytest.param("2", id="fake v2"),
        pytest.param("", id="kernel", marks=pytest.mark.docker),
    ]
)
def tree(request: pytest.FixtureRequest) -> CgroupTree:
    return FakeCgroupTree(request.param) if request.param else LinuxCgroupTree()


@pytest.fixture
def root(tree: CgroupTree) -> Iterator[str]:
    name = f"podling-test-{uuid.uuid4().hex[:8]}"
    yield name
    for hierarchy in tree.hierarchies():
        for path in (f"{name}/a/b", f"{name}/a", name):
            tree.remove(hierarchy, path)


def limiting(tree: CgroupTree) -> set[str]:
    found = {tree.find_hierarchy(controller) for controller in ("cpu", "memory", "pids")}
    assert None not in found
    return {hierarchy for hierarchy in found if hierarchy is not None}


def test_a_cgroup_is_made_with_those_above_it_once(tree: CgroupTree, root: str) -> None:
    for hierarchy in limiting(tree):
        assert tree.make(hierarchy, f"{root}/a/b")
        assert not tree.make(hierarchy, f"{root}/a/b")
        assert tree.children(hierarchy, root) == ["a"]
        assert tree.children(hierarchy, f"{root}/a") == ["b"]
        assert tree.children(hierarchy, f"{root}/nothing") == []


def test_one_above_that_goes_before_the_next_one_is_in_it_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the root of all clusters does, with the last one of another user."""
    make = Path.mkdir
    removed: list[Path] = []

    def make_a_moment_late(path: Path, *arguments: Any, **options: Any) -> None:
        if path.name == "cluster" and not removed:
            path.parent.rmdir()
            removed.append(path.parent)
        make(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", make_a_moment_late)
    assert LinuxCgroupTree(tmp_path).make("", "podling/cluster")
    assert removed
    assert (tmp_path / "podling" / "cluster").is_dir()


def test_every_limit_can_be_set_and_read_back(tree: CgroupTree, root: str) -> None:
    for hierarchy in limiting(tree):
        tree.make(hierarchy, f"{root}/a")
    for file in control_files(LIMITS, version=tree.version):
        hierarchy = tree.find_hierarchy(file.controller)
        assert hierarchy is not None
        tree.write(hierarchy, f"{root}/a", file.name, file.text)
        assert tree.read(hierarchy, f"{root}/a", file.name) == file.text


def test_a_cgroup_with_others_below_stays_and_one_that_is_gone_can_be_removed(tree: CgroupTree, root: str) -> None:
    for hierarchy in limiting(tree):
        tree.make(hierarchy, f"{root}/a")
        with pytest.raises(OSError, match="busy"):
            tree.remove(hierarchy, root)
        tree.remove(hierarchy, f"{root}/a")
        tree.remove(hierarchy, f"{root}/a")
        assert tree.children(hierarchy, root) == []


def test_what_is_not_there_cannot_be_written(tree: CgroupTree, root: str) -> None:
    hierarchy = tree.find_hierarchy("pids")
    assert hierarchy is not None
    with pytest.raises(FileNotFoundError):
        tree.write(hierarchy, f"{root}/nothing", "pids.max", "1")


def test_a_controller_that_the_kernel_lacks_has_no_hierarchy(tree: CgroupTree) -> None:
    assert tree.find_hierarchy("nonsense") is None
