"""The seam to the cgroups of Pods: what the rest of the agent knows of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agent.runtime.protocol import RuntimeFailure
from control.api.objects import ReadOnlyObject


class CgroupError(RuntimeFailure):
    """A cgroup cannot be made or changed."""


class PodCgroups(Protocol):
    """The cgroups of one node's Pods. A Pod's is found by its UID and quality of service, so nothing is remembered."""

    @property
    def is_enforcing(self) -> bool:
        """Whether Pods have cgroups here at all."""
        ...

    @property
    def limits_huge_pages(self) -> bool:
        """Whether a Pod's cgroup bounds its huge pages."""
        ...

    def parent(self, pod: ReadOnlyObject) -> str:
        """What Docker is told as CgroupParent of the Pod's containers; empty where Pods have no cgroups."""
        ...

    async def ensure(self, pod: ReadOnlyObject, *, raise_only: bool = False) -> None:
        """Make the Pod's cgroup and set its limits to what the Pod asks for. Raises CgroupError.

        With `raise_only` no limit gets smaller: containers that still have more than that stand below.
        """
        ...

    async def group_processes(self, pod: ReadOnlyObject, container_id: str) -> None:
        """Where the kernel can, have it kill all processes of a running container if it has to kill one for memory."""
        ...

    async def remove(self, pod_uid: str) -> None:
        """Remove the Pod's cgroup; one in which something runs stays."""
        ...

    async def collect_garbage(self, wanted: Callable[[], frozenset[str]]) -> None:
        """Remove the cgroups of Pods that are not wanted. `wanted` is asked after they have been looked up."""
        ...
