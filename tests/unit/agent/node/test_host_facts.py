"""What is read of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.node.file_usage import measure_directory, measure_files
from agent.node.host_facts import read_disk_usage
from agent.node.host_memory import MemoryUse, read_memory

MEMINFO = "MemTotal:  1000 kB\nMemFree:  300 kB\nMemAvailable:  600 kB\n"
VERSION_1 = {
    "memory/memory.usage_in_bytes": "512000\n",
    "memory/memory.stat": (
        "inactive_file 7\npgfault 1\ntotal_inactive_file 102400\n"
        "total_rss 204800\ntotal_pgfault 30\ntotal_pgmajfault 4\n"
    ),
}
VERSION_2 = {"memory.stat": "anon 204800\nfile 307200\ninactive_file 102400\npgfault 30\npgmajfault 4\n"}


def read(directory: Path, files: dict[str, str]) -> MemoryUse:
    (directory / "meminfo").write_text(MEMINFO)
    for name, text in files.items():
        path = directory / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_memory(directory / "meminfo", directory / "cgroup")


@pytest.mark.parametrize("files", [VERSION_1, VERSION_2], ids=["cgroup v1", "cgroup v2"])
def test_resident_memory_and_page_faults_are_the_root_cgroups(tmp_path: Path, files: dict[str, str]) -> None:
    memory = read(tmp_path, files)
    assert (memory.rss_bytes, memory.page_faults, memory.major_page_faults) == (204800, 30, 4)


@pytest.mark.parametrize(
    ("files", "available"),
    [
        pytest.param(VERSION_1, 1024000 - (512000 - 102400), id="cgroup v1: usage less inactive file pages"),
        pytest.param(VERSION_2, 1024000 - (204800 + 307200 - 102400), id="cgroup v2: its root counts no usage"),
        pytest.param({}, 600 * 1024, id="no cgroups: the kernel's estimate"),
        pytest.param({"memory.stat": "anon 9999999\n"}, 0, id="never less than nothing"),
    ],
)
def test_available_memory_is_all_less_the_working_set(tmp_path: Path, files: dict[str, str], available: int) -> None:
    memory = read(tmp_path, files)
    assert (memory.capacity_bytes, memory.available_bytes) == (1024000, available)


def test_a_directory_s_disk_is_told_apart_by_its_device(tmp_path: Path) -> None:
    usage = read_disk_usage(str(tmp_path))
    assert usage.device == tmp_path.stat().st_dev
    assert 0 < usage.available_bytes <= usage.capacity_bytes


def test_files_are_counted_by_their_blocks_and_links_once(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"x" * 100_000)
    empty = measure_directory(str(tmp_path))
    os.link(tmp_path / "below" / "file", tmp_path / "again")
    assert measure_directory(str(tmp_path)) == empty
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 30)
    counted = measure_directory(str(tmp_path))
    assert counted.inodes == empty.inodes + 1
    assert 100_000 <= counted.used_bytes < 1 << 20


def test_a_link_to_a_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 1_000_000)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    assert measure_directory(str(tmp_path / "root")).used_bytes < 100_000


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        measure_directory(str(tmp_path / "none"))
    assert measure_files([str(tmp_path / "none")]).inodes == 0
