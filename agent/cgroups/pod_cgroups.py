"""The Pods' cgroups of one node, and what stands in where Pods have none.

Calls of one Pod come one after the other, from its worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from agent.cgroups.control_files import OOM_GROUP_FILE, control_files, is_larger, shares_file
from agent.cgroups.driver import CgroupDriver
from agent.cgroups.layout import QOS_DIRECTORIES, ROOT, CgroupLayout, parse_pod_uid
from agent.cgroups.limits import PodLimits, compute_pod_limits
from agent.cgroups.protocol import CgroupError
from agent.runtime.resource_settings import SHARES_MIN, cpu_shares
from control.api.objects import ReadOnlyObject
from control.api.pods import qos_class

#: without these a Pod's cgroup would limit nothing
NEEDED_CONTROLLERS = ("cpu", "memory")
BURSTABLE = "Burstable"


@dataclass(frozen=True, slots=True)
class _Applied:
    """What a Pod's cgroup was last made, and from which spec."""

    spec: ReadOnlyObject
    limits: PodLimits


class NodePodCgroups:
    """Implements `agent.cgroups.protocol.PodCgroups`. The weight of all Burstable Pods is the sum of theirs."""

    def __init__(
        self, driver: CgroupDriver, layout: CgroupLayout, *, pids_max: int = 0, page_sizes: Iterable[str] = ()
    ) -> None:
        """`pids_max` bounds the processes of each Pod, 0 is no bound; `page_sizes` are the host's, as `2Mi`."""
        self._driver = driver
        self._layout = layout
        self._pids_max = pids_max
        self._page_sizes = tuple(page_sizes)
        self._applied: dict[str, _Applied] = {}
        self._burstable_shares: dict[str, int] = {}

    @property
    def is_enforcing(self) -> bool:
        """They limit."""
        return True

    @property
    def limits_huge_pages(self) -> bool:
        """Where the kernel's controller for them is at hand."""
        return self._driver.can_limit("hugetlb")

    def prepare(self, node_cpus: int) -> None:
        """Make what is above the Pods' cgroups: together they weigh what the node's CPUs do. Raises CgroupError."""
        layout, version = self._layout, self._driver.version
        missing = [name for name in NEEDED_CONTROLLERS if not self._driver.can_limit(name)]
        if missing:
            raise CgroupError(f"the kernel offers no cgroup controller {' and '.join(missing)}")
        weight = shares_file(cpu_shares(node_cpus * 1000), version=version)
        least = shares_file(SHARES_MIN, version=version)
        wanted = [(directory, weight) for directory in _with_parents(layout.pods_root)]
        wanted += [(layout.qos_directory(qos), least) for qos, name in QOS_DIRECTORIES.items() if name]
        try:
            for directory, file in wanted:
                if not self._driver.make(directory, [file]):
                    self._driver.change(directory, [file])
        except OSError as error:
            raise CgroupError(f"cannot make cgroup {layout.pods_root}: {error}") from error

    def bound(self, share: PodLimits) -> None:
        """Bound all Pods of the node together, as a kubelet enforces Node Allocatable. Raises CgroupError."""
        root, version = self._layout.pods_root, self._driver.version
        try:
            self._driver.change(root, control_files(share, version=version))
        except OSError as error:
            raise CgroupError(f"cannot limit cgroup {root}: {error}") from error

    def parent(self, pod: ReadOnlyObject) -> str:
        """As the driver calls it."""
        return self._driver.parent_name(self._layout.pod_directory(pod))

    async def ensure(self, pod: ReadOnlyObject, *, raise_only: bool = False) -> None:
        """Nothing where nothing differs from what was set last."""
        uid, applied = pod["metadata"]["uid"], self._applied.get(pod["metadata"]["uid"])
        if applied is not None and applied.spec is pod["spec"]:
            return
        limits = compute_pod_limits(pod, pids_max=self._pids_max)
        if applied is not None and applied.limits == limits:
            self._applied[uid] = _Applied(pod["spec"], limits)
            return
        try:
            await asyncio.to_thread(self._apply, self._layout.pod_directory(pod), limits, raise_only)
        except OSError as error:
            raise CgroupError(f"cannot set up cgroup {self._layout.pod_directory(pod)}: {error}") from error
        if not raise_only:
            self._applied[uid] = _Applied(pod["spec"], limits)
        if qos_class(pod) == BURSTABLE:
            self._burstable_shares[uid] = limits.cpu_shares
            await self._weigh_burstable()

    async def group_processes(self, pod: ReadOnlyObject, container_id: str) -> None:
        """Version 2 can. A container that has ended already has no cgroup any more."""
        if self._driver.version == "2":
            directory = self._layout.pod_directory(pod)
            with suppress(OSError):
                await asyncio.to_thread(self._driver.change_container, directory, container_id, OOM_GROUP_FILE)

    async def remove(self, pod_uid: str) -> None:
        """Wherever it is."""
        self._applied.pop(pod_uid, None)
        await asyncio.to_thread(self._driver.remove, self._layout.pod_directories(pod_uid))
        if self._burstable_shares.pop(pod_uid, None) is not None:
            await self._weigh_burstable()

    async def collect_garbage(self, wanted: Callable[[], frozenset[str]]) -> None:
        """What a crash has left."""
        found = await asyncio.to_thread(self._find_pods)
        for pod_uid in found - wanted():
            await self.remove(pod_uid)

    def _apply(self, directory: str, limits: PodLimits, raise_only: bool) -> None:
        page_sizes = self._page_sizes if self.limits_huge_pages else ()
        files = control_files(limits, version=self._driver.version, page_sizes=page_sizes)
        if self._driver.make(directory, files):
            return
        if raise_only:
            files = [file for file in files if is_larger(file.text, than=self._driver.read(directory, file))]
        self._driver.change(directory, files)

    async def _weigh_burstable(self) -> None:
        shares = max(SHARES_MIN, sum(self._burstable_shares.values()))
        file = shares_file(shares, version=self._driver.version)
        with suppress(OSError):  # a weight that is a little old harms nobody
            await asyncio.to_thread(self._driver.change, self._layout.qos_directory(BURSTABLE), [file])

    def _find_pods(self) -> frozenset[str]:
        return frozenset(
            uid
            for qos in QOS_DIRECTORIES
            for name in self._driver.children(self._layout.qos_directory(qos))
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

    async def group_processes(self, pod: ReadOnlyObject, container_id: str) -> None:
        """Nothing."""

    async def remove(self, pod_uid: str) -> None:
        """Nothing."""

    async def collect_garbage(self, wanted: Callable[[], frozenset[str]]) -> None:
        """Nothing."""


def remove_cgroups(driver: CgroupDriver, *, cluster: str, node: str = "") -> None:
    """Remove the cgroups of a cluster, or of one of its nodes, that nothing runs in any more."""
    of_cluster = f"{ROOT}/{cluster}"
    _remove_below(driver, f"{of_cluster}/{node}" if node else of_cluster)
    driver.remove([of_cluster, ROOT])  # which stay while others have theirs in them


def _remove_below(driver: CgroupDriver, path: str) -> None:
    for name in driver.children(path):
        _remove_below(driver, f"{path}/{name}")
    driver.remove([path])


def _with_parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])
