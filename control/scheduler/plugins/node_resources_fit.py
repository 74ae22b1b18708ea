"""NodeResourcesFit: what a Pod requests must be free; among nodes with room the emptier is better (LeastAllocated)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control.api.fit import insufficient_resources
from control.api.pods import pod_requests
from control.scheduler.framework import (
    NODE_CHANGES,
    SCORE_MAX,
    Change,
    Cluster,
    ClusterEvent,
    Code,
    Interest,
    Rejections,
    Resource,
    Status,
)
from control.scheduler.prepared import PreparedNode, PreparedPod


class NodeResourcesFit:
    """Compares requests with what is allocatable and not yet taken."""

    name = "NodeResourcesFit"
    weight = 1

    def interests(self) -> Iterable[Interest]:
        """Room may appear when a Pod ends or shrinks, and when a node comes or changes."""
        return (
            Interest(Resource.ASSIGNED_POD, frozenset({Change.DELETE})),
            Interest(Resource.ASSIGNED_POD, frozenset({Change.UPDATE}), _shrinks),
            Interest(Resource.NODE, NODE_CHANGES),
        )

    def filter(
        self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster, rejected: Rejections
    ) -> Sequence[PreparedNode]:
        """Keep the nodes with room."""
        cpu, memory, ephemeral_storage, scalars = pod.cpu, pod.memory, pod.ephemeral_storage, pod.scalars
        kept = []
        for node in nodes:
            if (
                len(node.pods) < node.pod_count_max
                and (not cpu or cpu <= node.cpu - node.cpu_used)
                and (not memory or memory <= node.memory - node.memory_used)
                and (not ephemeral_storage or ephemeral_storage <= node.ephemeral_storage - node.ephemeral_storage_used)
                and (not scalars or _has_scalars(scalars, node))
            ):
                kept.append(node)
            else:
                rejected[node.name] = self._explain(pod, node)
        return kept

    def _explain(self, pod: PreparedPod, node: PreparedNode) -> Status:
        lacking = insufficient_resources(
            pod.requests,
            allocatable={
                "cpu": node.cpu,
                "memory": node.memory,
                "ephemeral-storage": node.ephemeral_storage,
                **node.scalars,
            },
            used={
                "cpu": node.cpu_used,
                "memory": node.memory_used,
                "ephemeral-storage": node.ephemeral_storage_used,
                **node.scalars_used,
            },
            pod_count=len(node.pods),
            pod_count_max=node.pod_count_max,
        )
        code = Code.UNRESOLVABLE if any(item.is_unresolvable for item in lacking) else Code.UNSCHEDULABLE
        return Status(code, tuple(item.reason for item in lacking), self.name)

    def score(self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster) -> Sequence[int] | None:
        """Mean share of cpu and memory that would stay free."""
        cpu, memory = pod.scored_cpu, pod.scored_memory
        scores = []
        for node in nodes:
            cpu_capacity, memory_capacity = node.cpu, node.memory
            cpu_free = cpu_capacity - node.scored_cpu_used - cpu
            memory_free = memory_capacity - node.scored_memory_used - memory
            total = cpu_free * SCORE_MAX // cpu_capacity if cpu_free > 0 else 0
            if memory_free > 0:
                total += memory_free * SCORE_MAX // memory_capacity
            scores.append(total >> 1 if cpu_capacity and memory_capacity else total)
        return scores


def _shrinks(_: PreparedPod, event: ClusterEvent) -> bool:
    if event.old is None or event.new is None:
        return False
    now = pod_requests(event.new, use_status=True)
    return any(amount > now.get(name, 0) for name, amount in pod_requests(event.old, use_status=True).items())


def _has_scalars(scalars: dict[str, int], node: PreparedNode) -> bool:
    return all(
        not amount or amount <= node.scalars.get(name, 0) - node.scalars_used.get(name, 0)
        for name, amount in scalars.items()
    )
