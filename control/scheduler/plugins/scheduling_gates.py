"""SchedulingGates: a Pod with gates waits until somebody removes them."""

from __future__ import annotations

from collections.abc import Iterable

from control.scheduler.framework import Change, Code, Interest, Resource, Status
from control.scheduler.prepared import PreparedPod


class SchedulingGates:
    """Keeps gated Pods out of the queue."""

    name = "SchedulingGates"

    def interests(self) -> Iterable[Interest]:
        """The Pod itself changes."""
        return (Interest(Resource.UNSCHEDULED_POD, frozenset({Change.UPDATE})),)

    def pre_enqueue(self, pod: PreparedPod) -> Status | None:
        """Refuse while there are gates."""
        gates = [gate["name"] for gate in pod.spec.get("schedulingGates") or ()]
        if not gates:
            return None
        return Status(Code.UNRESOLVABLE, (f"waiting for scheduling gates: [{' '.join(gates)}]",), self.name)
