"""TaintToleration: taints keep Pods away (NoSchedule, NoExecute) or only cost a node score (PreferNoSchedule)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control.api.fit import TAINTS_REASON
from control.api.taints import PREFER_NO_SCHEDULE, find_untolerated_taint, taints_of, tolerates
from control.scheduler.framework import (
    NODE_CHANGES,
    Cluster,
    ClusterEvent,
    Code,
    Interest,
    Rejections,
    Resource,
    Status,
    normalize,
)
from control.scheduler.prepared import PreparedNode, PreparedPod


class TaintToleration:
    """Compares taints with tolerations."""

    name = "TaintToleration"
    weight = 3
    _refusal = Status(Code.UNRESOLVABLE, (TAINTS_REASON,), name)

    def interests(self) -> Iterable[Interest]:
        """A node whose taints the Pod tolerates."""
        return (Interest(Resource.NODE, NODE_CHANGES, _is_tolerable),)

    def filter(
        self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster, rejected: Rejections
    ) -> Sequence[PreparedNode]:
        """Keep the nodes without a taint the Pod does not tolerate."""
        tainted = [node for node in nodes if node.blocking_taints]
        refused = {
            node.name for node in tainted if find_untolerated_taint(node.blocking_taints, pod.tolerations) is not None
        }
        if not refused:
            return nodes
        rejected.update(dict.fromkeys(refused, self._refusal))
        return [node for node in nodes if node.name not in refused]

    def score(self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster) -> Sequence[int] | None:
        """Fewer soft taints that are not tolerated is better."""
        if not [node for node in nodes if node.soft_taints]:
            return None
        tolerations = [item for item in pod.tolerations if item.get("effect") in (None, "", PREFER_NO_SCHEDULE)]
        counts = [
            sum(not any(tolerates(item, taint) for item in tolerations) for taint in node.soft_taints) for node in nodes
        ]
        return normalize(counts, reverse=True)


def _is_tolerable(pod: PreparedPod, event: ClusterEvent) -> bool:
    return event.new is not None and find_untolerated_taint(taints_of(event.new), pod.tolerations) is None
