"""What requests and limits are to the engine: CPU shares and quota, memory, readiness to be killed. Pure.

A container without a limit of its own has its Pod's (KEP-2837), as in the kubelet's getCPULimit and getMemoryLimit
(pkg/kubelet/kuberuntime/kuberuntime_container_linux.go, v1.36).
"""

from __future__ import annotations

from collections.abc import Mapping

from control.api.objects import ReadOnlyObject
from control.api.pods import container_requests_sum, containers_of, init_containers_of, is_sidecar, qos_class
from control.api.quantity import cpu_millis, quantity_value

# Bounds and periods as the kubelet's (pkg/kubelet/cm/helpers_linux.go).
SHARES_MIN, SHARES_MAX, SHARES_PER_CPU = 2, 262144, 1024
CPU_PERIOD_MICROSECONDS = 100_000
CPU_QUOTA_MICROSECONDS_MIN = 1_000

# Out-of-memory scores as the kubelet's (pkg/kubelet/qos/policy.go); the sandbox's is dockershim's.
OOM_SCORE_SANDBOX = -998
OOM_SCORE_GUARANTEED = -997
OOM_SCORE_BEST_EFFORT = 1000
OOM_SCORE_BURSTABLE_MIN, OOM_SCORE_BURSTABLE_MAX = 3, 999
NODE_CRITICAL_PRIORITY = 2_000_001_000


def cpu_shares(millis: int) -> int:
    """The weight of a request in thousandths of a CPU, within the kernel's bounds."""
    return min(SHARES_MAX, max(SHARES_MIN, millis * SHARES_PER_CPU // 1000))


def cpu_quota_microseconds(millis: int) -> int:
    """The time per period of a limit in thousandths of a CPU; 0 for none."""
    if not millis:
        return 0
    return max(CPU_QUOTA_MICROSECONDS_MIN, millis * CPU_PERIOD_MICROSECONDS // 1000)


def cpu_settings(pod: ReadOnlyObject, container: ReadOnlyObject) -> dict[str, int]:
    """A request is a share, a limit a quota; without a request the limit is the request, as the API defaults it."""
    requests = _amounts(container, "requests")
    limit = effective_limit(pod, container, "cpu")
    limit_millis = cpu_millis(limit) if limit else 0
    request_millis = cpu_millis(requests["cpu"]) if "cpu" in requests else limit_millis
    settings = {"CpuShares": cpu_shares(request_millis)}
    if limit_millis:
        settings["CpuPeriod"] = CPU_PERIOD_MICROSECONDS
        settings["CpuQuota"] = cpu_quota_microseconds(limit_millis)
    return settings


def memory_settings(pod: ReadOnlyObject, container: ReadOnlyObject) -> dict[str, int]:
    """MemorySwap is memory plus swap: equal to the limit means no swap, as the kubelet's default."""
    text = effective_limit(pod, container, "memory")
    limit = quantity_value(text) if text else 0
    return {"Memory": limit, "MemorySwap": limit} if limit else {}


def effective_limit(pod: ReadOnlyObject, container: ReadOnlyObject, name: str) -> str:
    """The container's own limit of `cpu` or `memory`, else its Pod's; empty when there is neither."""
    own = _amounts(container, "limits").get(name)
    if own and quantity_value(own):
        return own
    return _amounts(pod["spec"], "limits").get(name, "")


def oom_score(pod: ReadOnlyObject, container: ReadOnlyObject, node_memory_bytes: int) -> int:
    """How readily the kernel kills the container: the more of the node it asked for, the later.

    What the Pod asks for beyond its containers is theirs in equal parts. A sidecar goes no sooner than the first of the
    containers it serves.
    """
    priority = pod["spec"].get("priority")
    if priority is not None and priority >= NODE_CRITICAL_PRIORITY:
        return OOM_SCORE_GUARANTEED
    match qos_class(pod):
        case "Guaranteed":
            return OOM_SCORE_GUARANTEED
        case "BestEffort":
            return OOM_SCORE_BEST_EFFORT
    asked = _memory_request(container)
    if is_sidecar(container) and any(item["name"] == container["name"] for item in init_containers_of(pod)):
        asked = max(asked, min((_memory_request(item) for item in containers_of(pod)), default=0))
    score = 1000 - 1000 * (asked + _spare_memory_request(pod)) // max(1, node_memory_bytes)
    return min(OOM_SCORE_BURSTABLE_MAX, max(OOM_SCORE_BURSTABLE_MIN, score))


def _spare_memory_request(pod: ReadOnlyObject) -> int:
    """Each container's part of the memory that the Pod asks for beyond what its containers do."""
    asked = _amounts(pod["spec"], "requests").get("memory")
    if not asked:
        return 0
    spare = quantity_value(asked) - container_requests_sum(pod).get("memory", 0)
    return max(0, spare) // (len(containers_of(pod)) + len(init_containers_of(pod)))


def _memory_request(container: ReadOnlyObject) -> int:
    text = _amounts(container, "requests").get("memory") or _amounts(container, "limits").get("memory")
    return quantity_value(text) if text else 0


def _amounts(holder: ReadOnlyObject, field: str) -> Mapping[str, str]:
    return (holder.get("resources") or {}).get(field) or {}
