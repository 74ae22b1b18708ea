"""Which Pod goes first when a resource runs out. Pure.

Memory and disk: Pods that use more than they asked for, then lower priority, then the larger excess. Process ids: lower
priority, then more processes. A Pod that cannot be measured goes before those that can
(rankMemoryPressure, rankDiskPressureFunc and rankPIDPressure in pkg/kubelet/eviction/helpers.go, v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.node.eviction.pod_usage import PodUse
from agent.node.eviction.signals import RESOURCES, Signal
from control.api.objects import ReadOnlyObject
from control.api.pods import pod_requests, priority_of


def rank_pods(
    pods: Iterable[ReadOnlyObject], uses: Mapping[str, PodUse], signal: Signal, *, has_image_disk: bool
) -> list[ReadOnlyObject]:
    """The Pods, those to be evicted first in front; `uses` is by UID."""

    def key(pod: ReadOnlyObject) -> tuple[bool, bool, int, int]:
        use = uses.get(pod["metadata"]["uid"])
        priority = priority_of(pod)
        if use is None:
            return (False, False, priority, 0)
        amount = used_amount(use, signal, has_image_disk=has_image_disk)
        if signal is Signal.PID_AVAILABLE:
            return (True, False, priority, -amount)
        excess = amount - pod_requests(pod).get(RESOURCES[signal], 0)
        return (True, excess <= 0, priority, -excess)

    return sorted(pods, key=key)


def used_amount(use: PodUse, signal: Signal, *, has_image_disk: bool) -> int:
    """How much a Pod uses of what a signal is about.

    Where the engine has a disk of its own, its signals are about layers and logs and the node's about volumes.
    """
    if RESOURCES[signal] == "memory":
        return use.memory_bytes
    if signal is Signal.PID_AVAILABLE:
        return use.processes
    if not has_image_disk:
        files = use.container_files.plus(use.volume_files)
    elif signal in (Signal.IMAGEFS_AVAILABLE, Signal.IMAGEFS_INODES_FREE):
        files = use.container_files
    else:
        files = use.volume_files
    return files.inodes if RESOURCES[signal] == "inodes" else files.used_bytes
