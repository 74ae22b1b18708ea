"""What the kernel tells of a running container and the engine does not: its cgroup's files. Blocking reads.

Which files count is cadvisor's choice (container/common/helpers.go, container/libcontainer/handler.go), whose numbers
the kubelet shows.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path

from agent.cgroups.control_files import shares_of
from agent.cgroups.tree import CgroupTree
from agent.usage.container_usage import UNLIMITED_BYTES
from agent.usage.pressure import RESOURCES, Pressures, parse_pressures

PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerCgroup:
    """Weight, quota and bounds, and what only the kernel counts. A bound of 0 is none.

    `swap_limit_bytes` is the kernel's number, None for no limit: with cgroup v1 of memory and swap together.
    `pressures` are of v2 alone, as are those of the cgroup above, which is the Pod's where Pods have one.
    """

    path: str = ""
    cpu_shares: int = 0
    cpu_period_microseconds: int = 0
    cpu_quota_microseconds: int = 0
    memory_reservation_bytes: int = 0
    swap_bytes: int = 0
    swap_limit_bytes: int | None = 0
    out_of_memory_kills: int = 0
    threads: int = 0
    threads_max: int = 0
    process_ids: tuple[int, ...] = ()
    pressures: Pressures | None = None
    pressures_above: Pressures | None = None


def read_container_cgroup(tree: CgroupTree, process_id: int, proc: Path = PROC) -> ContainerCgroup | None:
    """The cgroup of a container's first process, None of one that is gone."""
    try:
        paths = parse_cgroup_paths((proc / str(process_id) / "cgroup").read_text())
    except OSError:
        return None
    files = _CgroupFiles(tree, paths)
    return _read_v2(files) if tree.version == "2" else _read_v1(files)


def parse_cgroup_paths(text: str) -> dict[str, str]:
    """/proc/PID/cgroup: paths by controller; v2's only one is called ""."""
    paths = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    return paths


class _CgroupFiles:
    """The files of one cgroup, by controller. What is not there is empty."""

    def __init__(self, tree: CgroupTree, paths: dict[str, str]) -> None:
        self._tree = tree
        self._paths = paths

    def path(self, controller: str) -> str:
        """As the kernel names it."""
        return self._paths.get("" if self._tree.version == "2" else controller, "")

    def text(self, controller: str, name: str) -> str:
        """A whole file."""
        hierarchy = "" if self._tree.version == "2" else self._tree.find_hierarchy(controller)
        path = self.path(controller)
        if hierarchy is None or not path:
            return ""
        try:
            return self._tree.read(hierarchy, path.lstrip("/"), name)
        except OSError:
            return ""

    def number(self, controller: str, name: str) -> int | None:
        """A number; None where there is no bound (`max`, or v1's largest)."""
        return _bound(self.text(controller, name) or "0")

    def table(self, controller: str, name: str) -> dict[str, int]:
        """Numbers by name, one a line."""
        lines = (line.split() for line in self.text(controller, name).splitlines())
        return {words[0]: int(words[1]) for words in lines if len(words) > 1}

    def pressures(self) -> Pressures | None:
        """Of v2; None where the kernel does not measure them."""
        return parse_pressures({name: self.text(name, f"{name}.pressure") for name in RESOURCES})

    def above(self) -> _CgroupFiles:
        """Those of the cgroup above."""
        return _CgroupFiles(self._tree, {name: posixpath.dirname(path) for name, path in self._paths.items()})

    def process_ids(self, controller: str) -> tuple[int, ...]:
        """All processes."""
        return tuple(int(word) for word in self.text(controller, "cgroup.procs").split())


def _read_v1(files: _CgroupFiles) -> ContainerCgroup:
    return ContainerCgroup(
        path=files.path("memory"),
        cpu_shares=files.number("cpu", "cpu.shares") or 0,
        cpu_period_microseconds=files.number("cpu", "cpu.cfs_period_us") or 0,
        cpu_quota_microseconds=max(0, files.number("cpu", "cpu.cfs_quota_us") or 0),
        memory_reservation_bytes=files.number("memory", "memory.soft_limit_in_bytes") or 0,
        swap_bytes=files.table("memory", "memory.stat").get("swap", 0),
        swap_limit_bytes=files.number("memory", "memory.memsw.limit_in_bytes"),
        out_of_memory_kills=files.table("memory", "memory.oom_control").get("oom_kill", 0),
        threads=files.number("pids", "pids.current") or 0,
        threads_max=files.number("pids", "pids.max") or 0,
        process_ids=files.process_ids("memory"),
    )


def _read_v2(files: _CgroupFiles) -> ContainerCgroup:
    quota, _, period = files.text("cpu", "cpu.max").partition(" ")
    return ContainerCgroup(
        path=files.path("memory"),
        cpu_shares=shares_of(files.number("cpu", "cpu.weight") or 1),
        cpu_period_microseconds=int(period or 0),
        cpu_quota_microseconds=_bound(quota or "0") or 0,
        memory_reservation_bytes=files.number("memory", "memory.low") or 0,
        swap_bytes=files.number("memory", "memory.swap.current") or 0,
        swap_limit_bytes=files.number("memory", "memory.swap.max"),
        out_of_memory_kills=files.table("memory", "memory.events").get("oom_kill", 0),
        threads=files.number("pids", "pids.current") or 0,
        threads_max=files.number("pids", "pids.max") or 0,
        process_ids=files.process_ids("memory"),
        pressures=files.pressures(),
        pressures_above=files.above().pressures(),
    )


def _bound(word: str) -> int | None:
    if word == "max" or int(word) >= UNLIMITED_BYTES:
        return None
    return int(word)
