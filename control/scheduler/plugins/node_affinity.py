"""NodeAffinity: nodeSelector and node affinity, required and preferred."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control.api.fit import NODE_AFFINITY_REASON
from control.api.meta import labels_of
from control.scheduler.framework import (
    NODE_CHANGES,
    Cluster,
    ClusterEvent,
    Code,
    Interest,
    PreFilterResult,
    Rejections,
    Resource,
    Status,
    normalize,
)
from control.scheduler.prepared import PreparedNode, PreparedPod


class NodeAffinity:
    """Matches a Pod's demands and wishes against labels and names."""

    name = "NodeAffinity"
    weight = 2
    _refusal = Status(Code.UNRESOLVABLE, (NODE_AFFINITY_REASON,), name)

    def interests(self) -> Iterable[Interest]:
        """A node that matches."""
        return (Interest(Resource.NODE, NODE_CHANGES, _is_match),)

    def pre_filter(self, pod: PreparedPod, cluster: Cluster) -> PreFilterResult | None:
        """A Pod tied to nodes by name (a DaemonSet's) needs no look at the others."""
        names = pod.requirements.node_names
        return None if names is None else PreFilterResult(node_names=names)

    def filter(
        self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster, rejected: Rejections
    ) -> Sequence[PreparedNode]:
        """Keep the nodes that match."""
        requirements = pod.requirements
        if requirements.is_empty:
            return nodes
        kept = [node for node in nodes if requirements.matches(node.name, node.labels)]
        if len(kept) < len(nodes):
            names = {node.name for node in kept}
            rejected.update({node.name: self._refusal for node in nodes if node.name not in names})
        return kept

    def score(self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster) -> Sequence[int] | None:
        """The weights of the wishes a node fulfils."""
        if not pod.preferred:
            return None
        return normalize(
            [sum(weight for weight, term in pod.preferred if term.matches(node.name, node.labels)) for node in nodes]
        )


def _is_match(pod: PreparedPod, event: ClusterEvent) -> bool:
    node = event.new
    return node is not None and pod.requirements.matches(node["metadata"]["name"], labels_of(node))
