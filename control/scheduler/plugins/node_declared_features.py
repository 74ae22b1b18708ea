"""NodeDeclaredFeatures: a Pod that needs a feature of the kubelet goes to nodes that declare it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control.api.declared_features import declared_features
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


class NodeDeclaredFeatures:
    """Compares what the Pod's spec needs with status.declaredFeatures."""

    name = "NodeDeclaredFeatures"
    _refusal = Status(Code.UNRESOLVABLE, ("node(s) didn't match Pod's required features",), name)

    def interests(self) -> Iterable[Interest]:
        """A new node, or one that declares other features."""
        return (Interest(Resource.NODE, NODE_CHANGES, _declares_anew),)

    def filter(
        self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster, rejected: Rejections
    ) -> Sequence[PreparedNode]:
        """Keep the nodes that declare all the Pod needs."""
        if not pod.features:
            return nodes
        kept = []
        for node in nodes:
            if pod.features <= node.features:
                kept.append(node)
            else:
                rejected[node.name] = self._refusal
        return kept


def _declares_anew(_: PreparedPod, event: ClusterEvent) -> bool:
    if event.new is None:
        return False
    return event.old is None or declared_features(event.old) != declared_features(event.new)
