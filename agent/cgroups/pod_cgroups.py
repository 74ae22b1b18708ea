"""The Pods' cgroups, made by the agent itself in the kernel's file system: engines with the cgroupfs driver.

Also what stands in where Pods have none. Calls of one Pod come one after the other, from its worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from agent.cgroups.control_files import ControlFile, control_files, is_larger, shares_file
from agent.cgroups.layout import QOS_DIRECTORIES, ROOT, CgroupLayout, parse_pod_uid
from agent.cgroups.limits import PodLimits, compute_pod_limits
from agent.cgroups.protocol import CgroupError
from agent.cgroups.tree import CgroupTree
from agent.runtime.resource_settings import SHARES_MIN, cpu_shares
from control.api.objects import ReadOnlyObject
from control.api.pods import qos_class

logger = logging.getLogger(__name__)

#: without these a Pod's cgroup would limit nothing
NEEDED_CONTROLLERS = ("cpu", "memory")
LIMITING_CONTROLLERS = ("cpu", "memory", "pids", "hugetlb")
BURSTABLE = "Burstable"


class CgroupfsPodCgroups:
    """Implements `agent.cgroups.protocol.PodCgroups`. The weight of all Burstable Pods is the sum of theirs."""

    def __init__(self, tree: CgroupTree, layout: CgroupLayout, *, pids_max: int = 0, page_sizes: Iterable[str] = ()):
        """`pids_max` bounds the processes of each Pod, 0 is no bound; `page_sizes` are the host's, as `2Mi`."""
        self._tree = tree
        self._layout = layout
        self._pids_max = pids_max
        self._page_sizes = tuple(page_sizes)
        self._applied: dict[str, PodLimits] = {}
        self._burstable_shares: dict[str, int] = {}

    @property
    def is_enforcing(self) -> bool:
        """They limit."""
        return True

    @property
    def limits_huge_pages(self) -> bool:
        """Where the kernel's controller for them is at hand."""
        return self._tree.find_hierarchy("hugetlb") is not None

    def prepare(self, node_cpus: int) -> None:
        """Make what is above the Pods' cgroups: together they weigh what the node's CPUs do. Raises CgroupError."""
        layout, version = self._layout, self._tree.version
        missing = [name for name in NEEDED_CONTROLLERS if self._tree.find_hierarchy(name) is None]
        if missing:
            raise CgroupError(f"the kernel offers no cgroup controller {' and '.join(missing)}")
        try:
            for qos in QOS_DIRECTORIES:
                self._make(layout.qos_directory(qos))
            weight = shares_file(cpu_shares(node_cpus * 1000), version=version)
            for directory in _with_parents(layout.pods_root):
                self._write(directory, weight)
            self._write(layout.qos_directory("BestEffort"), shares_file(SHARES_MIN, version=version))
        except OSError as error:
            raise CgroupError(f"cannot make cgroup {layout.pods_root}: {error}") from error

    def parent(self, pod: ReadOnlyObject) -> str:
        """Its path."""
        return f"/{self._layout.pod_directory(pod)}"

    async def ensure(self, pod: ReadOnlyObject, *, raise_only: bool = False) -> None:
        """Write what differs from what was written last."""
        uid, limits = pod["metadata"]["uid"], compute_pod_limits(pod, pids_max=self._pids_max)
        if self._applied.get(uid) == limits:
            return
        try:
            await asyncio.to_thread(self._apply, self._layout.pod_directory(pod), limits, raise_only)
        except OSError as error:
            raise CgroupError(f"cannot set up cgroup {self._layout.pod_directory(pod)}: {error}") from error
        if not raise_only:
            self._applied[uid] = limits
        if qos_class(pod) == BURSTABLE:
            self._burstable_shares[uid] = limits.cpu_shares
            self._weigh_burstable()

    async def remove(self, pod_uid: str) -> None:
        """Of all hierarchies: the engine makes the Pod's cgroup in those too that do not limit."""
        self._applied.pop(pod_uid, None)
        await asyncio.to_thread(self._remove, self._layout.pod_directories(pod_uid))
        if self._burstable_shares.pop(pod_uid, None) is not None:
            self._weigh_burstable()

    async def collect_garbage(self, wanted: Callable[[], frozenset[str]]) -> None:
        """What a crash has left."""
        found = await asyncio.to_thread(self._find_pods)
        for pod_uid in found - wanted():
            await self.remove(pod_uid)

    def _apply(self, directory: str, limits: PodLimits, raise_only: bool) -> None:
        is_new = self._make(directory)
        page_sizes = self._page_sizes if self.limits_huge_pages else ()
        for file in control_files(limits, version=self._tree.version, page_sizes=page_sizes):
            if is_new or not raise_only or is_larger(file.text, than=self._read(directory, file)):
                self._write(directory, file)

    def _weigh_burstable(self) -> None:
        shares = max(SHARES_MIN, sum(self._burstable_shares.values()))
        with suppress(OSError):  # a weight that is a little old harms nobody
            self._write(self._layout.qos_directory(BURSTABLE), shares_file(shares, version=self._tree.version))

    def _limiting_hierarchies(self) -> list[str]:
        found = (self._tree.find_hierarchy(controller) for controller in LIMITING_CONTROLLERS)
        return list(dict.fromkeys(name for name in found if name is not None))

    def _make(self, directory: str) -> bool:
        """Whether it was not there in all hierarchies that limit."""
        made = [self._tree.make(hierarchy, directory) for hierarchy in self._limiting_hierarchies()]
        return any(made)

    def _write(self, directory: str, file: ControlFile) -> None:
        hierarchy = self._tree.find_hierarchy(file.controller)
        if hierarchy is not None:
            self._tree.write(hierarchy, directory, file.name, file.text)

    def _read(self, directory: str, file: ControlFile) -> str:
        hierarchy = self._tree.find_hierarchy(file.controller)
        return self._tree.read(hierarchy, directory, file.name) if hierarchy is not None else ""

    def _remove(self, directories: Iterable[str]) -> None:
        for hierarchy in self._tree.hierarchies():
            for directory in directories:
                with suppress(OSError):  # something is in it: it stays until a later sweep
                    self._tree.remove(hierarchy, directory)

    def _find_pods(self) -> frozenset[str]:
        return frozenset(
            uid
            for hierarchy in self._tree.hierarchies()
            for qos in QOS_DIRECTORIES
            for name in self._tree.children(hierarchy, self._layout.qos_directory(qos))
            if (uid := parse_pod_uid(name))
        )


class NoPodCgroups:
    """Implements `agent.cgroups.protocol.PodCgroups` where there are none: containers stand where Docker puts them."""

    @property
    def is_enforcing(self) -> bool:
        """Nothing limits a Pod as a whole."""
        return False

    @property
    def limits_huge_pages(self) -> bool:
        """Nor its huge pages."""
        return False

    def parent(self, pod: ReadOnlyObject) -> str:
        """Docker's default."""
        return ""

    async def ensure(self, pod: ReadOnlyObject, *, raise_only: bool = False) -> None:
        """Nothing."""

    async def remove(self, pod_uid: str) -> None:
        """Nothing."""

    async def collect_garbage(self, wanted: Callable[[], frozenset[str]]) -> None:
        """Nothing."""


def remove_cgroups(tree: CgroupTree, *, cluster: str, node: str = "") -> None:
    """Remove the cgroups of a cluster, or of one of its nodes, that nothing runs in any more."""
    for hierarchy in tree.hierarchies():
        _remove_below(tree, hierarchy, f"{ROOT}/{cluster}/{node}" if node else f"{ROOT}/{cluster}")
        for parent in (f"{ROOT}/{cluster}", ROOT):
            with suppress(OSError):  # others have theirs in it
                tree.remove(hierarchy, parent)


def _remove_below(tree: CgroupTree, hierarchy: str, path: str) -> None:
    for name in tree.children(hierarchy, path):
        _remove_below(tree, hierarchy, f"{path}/{name}")
    with suppress(OSError):
        tree.remove(hierarchy, path)


def _with_parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])
