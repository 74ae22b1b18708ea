"""NodeUnschedulable: cordoned nodes take no new Pods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control.api.fit import UNSCHEDULABLE_REASON
from control.api.taints import NO_SCHEDULE, tolerates
from control.scheduler.framework import (
    NODE_CHANGES,
    Cluster,
    ClusterEvent,
    Code,
    Interest,
    Rejections,
    Resource,
    Status,
)
from control.scheduler.prepared import PreparedNode, PreparedPod

_CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": NO_SCHEDULE}


class NodeUnschedulable:
    """Looks at spec.unschedulable; a Pod that tolerates the cordon's taint may pass."""

    name = "NodeUnschedulable"
    _refusal = Status(Code.UNRESOLVABLE, (UNSCHEDULABLE_REASON,), name)

    def interests(self) -> Iterable[Interest]:
        """A node that is not cordoned, or no longer."""
        return (Interest(Resource.NODE, NODE_CHANGES, _is_open),)

    def filter(
        self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster, rejected: Rejections
    ) -> Sequence[PreparedNode]:
        """Keep the nodes that are not cordoned."""
        cordoned = [node for node in nodes if node.unschedulable]
        if not cordoned or any(tolerates(toleration, _CORDON) for toleration in pod.tolerations):
            return nodes
        rejected.update({node.name: self._refusal for node in cordoned})
        return [node for node in nodes if not node.unschedulable]


def _is_open(_: PreparedPod, event: ClusterEvent) -> bool:
    return event.new is not None and not (event.new.get("spec") or {}).get("unschedulable")
