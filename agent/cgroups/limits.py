"""What a Pod's cgroup is limited to, from the Pod's own resources or those of its containers. Pure.

The rules of the kubelet's ResourceConfigForPod (pkg/kubelet/cm/helpers_linux.go, v1.36): a resource is limited if the
Pod limits it itself (KEP-2837) or every container does; overhead (KEP-688) is part of requests and limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.runtime.resource_settings import SHARES_MIN, cpu_quota_microseconds, cpu_shares
from control.api.objects import ReadOnlyObject
from control.api.pods import is_limited_as_a_whole, pod_limits, pod_requests, qos_class

HUGE_PAGES_PREFIX = "hugepages-"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLimits:
    """CPU weight in v1's shares, quota per 100 ms period, memory, processes; 0 is no limit.

    `huge_pages` are bytes by resource name (`hugepages-2Mi`).
    """

    cpu_shares: int
    cpu_quota_microseconds: int = 0
    memory_bytes: int = 0
    pids_max: int = 0
    huge_pages: Mapping[str, int] = field(default_factory=dict)


def compute_pod_limits(pod: ReadOnlyObject, *, pids_max: int = 0) -> PodLimits:
    """The limits of the Pod's cgroup. `pids_max` is the node's bound on each Pod."""
    requests = pod_requests(pod)
    huge_pages = {name: amount for name, amount in requests.items() if name.startswith(HUGE_PAGES_PREFIX)}
    if qos_class(pod) == "BestEffort":
        return PodLimits(cpu_shares=SHARES_MIN, pids_max=pids_max, huge_pages=huge_pages)
    limits = pod_limits(pod)
    return PodLimits(
        cpu_shares=cpu_shares(requests.get("cpu", 0)),
        cpu_quota_microseconds=cpu_quota_microseconds(limits.get("cpu", 0)) if is_limited_as_a_whole(pod, "cpu") else 0,
        memory_bytes=limits.get("memory", 0) if is_limited_as_a_whole(pod, "memory") else 0,
        pids_max=pids_max,
        huge_pages=huge_pages,
    )


def compute_node_share(*, cpu_millis: int, memory_bytes: int) -> PodLimits:
    """The limits of all Pods of a node together: what reservations leave, eviction thresholds aside.

    getNodeAllocatableInternalAbsolute (pkg/kubelet/cm/node_container_manager_linux.go, v1.36).
    """
    return PodLimits(cpu_shares=cpu_shares(cpu_millis), memory_bytes=memory_bytes)
