"""What requests and limits are to the engine: CPU shares and quota, memory, readiness to be killed. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from control.api.objects import ReadOnlyObject
from control.api.pods import qos_class
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


def cpu_settings(container: ReadOnlyObject) -> dict[str, int]:
    """A request is a share, a limit a quota; without a request the limit is the request, as the API defaults it."""
    requests, limits = _resources(container)
    limit_millis = cpu_millis(limits["cpu"]) if "cpu" in limits else 0
    request_millis = cpu_millis(requests["cpu"]) if "cpu" in requests else limit_millis
    settings = {"CpuShares": min(SHARES_MAX, max(SHARES_MIN, request_millis * SHARES_PER_CPU // 1000))}
    if limit_millis:
        quota = limit_millis * CPU_PERIOD_MICROSECONDS // 1000
        settings["CpuPeriod"] = CPU_PERIOD_MICROSECONDS
        settings["CpuQuota"] = max(CPU_QUOTA_MICROSECONDS_MIN, quota)
    return settings


def memory_settings(container: ReadOnlyObject) -> dict[str, int]:
    """MemorySwap is memory plus swap: equal to the limit means no swap, as the kubelet's default."""
    _, limits = _resources(container)
    limit = quantity_value(limits["memory"]) if "memory" in limits else 0
    return {"Memory": limit, "MemorySwap": limit} if limit else {}


def oom_score(pod: ReadOnlyObject, container: ReadOnlyObject, node_memory_bytes: int) -> int:
    """How readily the kernel kills the container: the more of the node it asked for, the later."""
    priority = pod["spec"].get("priority")
    if priority is not None and priority >= NODE_CRITICAL_PRIORITY:
        return OOM_SCORE_GUARANTEED
    match qos_class(pod):
        case "Guaranteed":
            return OOM_SCORE_GUARANTEED
        case "BestEffort":
            return OOM_SCORE_BEST_EFFORT
    requests, limits = _resources(container)
    asked = requests.get("memory", limits.get("memory", "0"))
    score = 1000 - (1000 * quantity_value(asked)) // max(1, node_memory_bytes)
    return min(OOM_SCORE_BURSTABLE_MAX, max(OOM_SCORE_BURSTABLE_MIN, score))


def _resources(container: ReadOnlyObject) -> tuple[Mapping[str, str], Mapping[str, str]]:
    resources = container.get("resources") or {}
    return resources.get("requests") or {}, resources.get("limits") or {}
