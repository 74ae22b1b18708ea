"""The last status of a Pod of which nothing runs any more: what became of containers that nobody saw end. Pure.

Part of `pod_status.py`. Upstream: TerminatePod of pkg/kubelet/status/status_manager.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.pods.container_status import lost_state
from agent.pods.pod_conditions import INITIALIZED
from agent.pods.pod_phase import FAILED, TERMINAL_PHASES
from control.api.meta import is_condition_true
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_static_pod

LOST_MESSAGE = "The container could not be located when the pod was terminated"


def end_status(pod: ReadOnlyObject, status: Object) -> Object:
    """Return the status with an end for every container that may have run, and with a phase that is an end.

    Containers of a Pod that was never initialized have no end: that of its init container tells enough. Conditions
    stay as they are.
    """
    ended = dict(status)
    if not pod["spec"].get("initContainers") or is_condition_true(status["conditions"], INITIALIZED):
        ended["containerStatuses"] = [_ended(item) for item in status["containerStatuses"]]
    initial = status.get("initContainerStatuses")
    if initial:
        begun = _count_begun(initial)
        ended["initContainerStatuses"] = [*(_ended(item) for item in initial[:begun]), *initial[begun:]]
    if status["phase"] not in TERMINAL_PHASES and not is_static_pod(pod):
        ended["phase"] = FAILED
    return ended


def _ended(status: Object) -> Object:
    return status if "terminated" in status["state"] else {**status, "state": lost_state(LOST_MESSAGE)}


def _count_begun(statuses: Sequence[Object]) -> int:
    """Number of init containers up to the last that was ever tried; the first one counts in any case."""
    begun = [
        position
        for position, status in enumerate(statuses, start=1)
        if "waiting" not in status["state"] or "terminated" in status["lastState"]
    ]
    return max(begun, default=1)
