"""NodeName: a Pod that names its node goes there or nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control.api.fit import NODE_NAME_REASON
from control.scheduler.framework import Change, Cluster, Code, Interest, Rejections, Resource, Status
from control.scheduler.prepared import PreparedNode, PreparedPod


class NodeName:
    """Compares spec.nodeName."""

    name = "NodeName"
    _refusal = Status(Code.UNRESOLVABLE, (NODE_NAME_REASON,), name)

    def interests(self) -> Iterable[Interest]:
        """A node of that name may appear."""
        return (Interest(Resource.NODE, frozenset({Change.ADD})),)

    def filter(
        self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster, rejected: Rejections
    ) -> Sequence[PreparedNode]:
        """Keep the named node."""
        wanted = pod.spec.get("nodeName")
        if not wanted:
            return nodes
        rejected.update({node.name: self._refusal for node in nodes if node.name != wanted})
        return [node for node in nodes if node.name == wanted]
