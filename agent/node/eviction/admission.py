"""Which Pods a node under pressure still takes. Pure.

Critical Pods always. Under memory pressure alone those that asked for something, or tolerate it; else none
(Admit in pkg/kubelet/eviction/eviction_manager.go, v1.36).
"""

from __future__ import annotations

from agent.node.eviction.messages import REASON, pressure_message
from control.api.fit import AdmissionFailure
from control.api.objects import ReadOnlyObject
from control.api.pods import is_critical, qos_class
from control.api.taints import NO_SCHEDULE, find_untolerated_taint, tolerations_of

MEMORY_PRESSURE_TAINT = {"key": "node.kubernetes.io/memory-pressure", "effect": NO_SCHEDULE}


def judge_under_pressure(pod: ReadOnlyObject, pressures: frozenset[str]) -> AdmissionFailure | None:
    """Why a node with these conditions refuses a Pod, or None."""
    if not pressures or is_critical(pod):
        return None
    if pressures == {"MemoryPressure"} and _survives_memory_pressure(pod):
        return None
    return AdmissionFailure(reason=REASON, message=pressure_message(pressures))


def _survives_memory_pressure(pod: ReadOnlyObject) -> bool:
    if qos_class(pod) != "BestEffort":
        return True
    return find_untolerated_taint([MEMORY_PRESSURE_TAINT], tolerations_of(pod), (NO_SCHEDULE,)) is None
