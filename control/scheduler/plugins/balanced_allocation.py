"""NodeResourcesBalancedAllocation: prefers nodes where cpu and memory would be used to a similar degree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control.scheduler.framework import SCORE_MAX, Cluster, Interest
from control.scheduler.prepared import PreparedNode, PreparedPod


class BalancedAllocation:
    """Scores by the spread between the shares of cpu and memory in use; Pods that ask for neither are left out."""

    name = "NodeResourcesBalancedAllocation"
    weight = 1

    def interests(self) -> Iterable[Interest]:
        """Nothing: it refuses no Pod."""
        return ()

    def score(self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster) -> Sequence[int] | None:
        """100 where both shares are equal, 50 where one is full and the other empty."""
        cpu, memory = pod.cpu, pod.memory
        if not cpu and not memory:
            return None
        scores = []
        for node in nodes:
            if not node.cpu or not node.memory:
                scores.append(SCORE_MAX)
                continue
            cpu_share = (node.cpu_used + cpu) / node.cpu
            memory_share = (node.memory_used + memory) / node.memory
            # A share over 1 can only come from a Pod placed by somebody else.
            spread = (cpu_share if cpu_share < 1 else 1.0) - (memory_share if memory_share < 1 else 1.0)
            scores.append(int((1 - abs(spread) / 2) * SCORE_MAX))
        return scores
