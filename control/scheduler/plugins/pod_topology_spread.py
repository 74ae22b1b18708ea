"""PodTopologySpread: keeps the Pods a constraint counts evenly over the values of a topology key (DoNotSchedule)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control.api.meta import is_deleting
from control.api.selectors import LabelSelector, Requirement, selector_from_object
from control.api.taints import find_untolerated_taint
from control.scheduler.framework import NODE_CHANGES, Change, Cluster, Code, Interest, Rejections, Resource, Status
from control.scheduler.prepared import PreparedNode, PreparedPod

_REASON = "node(s) didn't match pod topology spread constraints"


@dataclass(frozen=True, slots=True)
class _Constraint:
    key: str
    skew_max: int
    domains_min: int
    selector: LabelSelector
    honors_affinity: bool
    honors_taints: bool

    def includes(self, pod: PreparedPod, node: PreparedNode) -> bool:
        """Whether a node's Pods count for this constraint."""
        if self.honors_affinity and not pod.requirements.matches(node.name, node.labels):
            return False
        return not self.honors_taints or find_untolerated_taint(node.blocking_taints, pod.tolerations) is None


class PodTopologySpread:
    """Counts Pods per domain, then judges nodes by how uneven one more would make it."""

    name = "PodTopologySpread"
    _uneven = Status(Code.UNSCHEDULABLE, (_REASON,), name)
    _unlabelled = Status(Code.UNRESOLVABLE, (f"{_REASON} (missing required label)",), name)

    def interests(self) -> Iterable[Interest]:
        """Pods come and go, nodes change their domain."""
        return (
            Interest(Resource.ASSIGNED_POD, frozenset(Change)),
            Interest(Resource.NODE, frozenset({*NODE_CHANGES, Change.DELETE})),
        )

    def filter(
        self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster, rejected: Rejections
    ) -> Sequence[PreparedNode]:
        """Keep the nodes whose domain has room under every constraint."""
        constraints = _read_constraints(pod)
        if not constraints:
            return nodes
        counts = [_count(pod, constraint, constraints, cluster) for constraint in constraints]
        kept = []
        for node in nodes:
            if any(constraint.key not in node.labels for constraint in constraints):
                rejected[node.name] = self._unlabelled
            elif any(
                _exceeds(pod, constraint, count, node) for constraint, count in zip(constraints, counts, strict=True)
            ):
                rejected[node.name] = self._uneven
            else:
                kept.append(node)
        return kept


def _read_constraints(pod: PreparedPod) -> list[_Constraint]:
    return [
        _read_constraint(pod, item)
        for item in pod.spec.get("topologySpreadConstraints") or ()
        if item.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"
    ]


def _read_constraint(pod: PreparedPod, item: Mapping[str, Any]) -> _Constraint:
    selector = selector_from_object(item.get("labelSelector"))
    same = [Requirement(key, "=", (pod.labels[key],)) for key in item.get("matchLabelKeys") or () if key in pod.labels]
    if same:
        selector = LabelSelector((*selector.requirements, *same), selector.matches_nothing)
    return _Constraint(
        key=item["topologyKey"],
        skew_max=int(item["maxSkew"]),
        domains_min=int(item.get("minDomains") or 1),
        selector=selector,
        honors_affinity=item.get("nodeAffinityPolicy", "Honor") == "Honor",
        honors_taints=item.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )


def _count(
    pod: PreparedPod, constraint: _Constraint, constraints: Sequence[_Constraint], cluster: Cluster
) -> dict[str, int]:
    """Pods per domain, over the nodes that belong to a domain of every constraint."""
    counts: dict[str, int] = {}
    for node in cluster.all():
        if not all(other.key in node.labels for other in constraints) or not constraint.includes(pod, node):
            continue
        domain = node.labels[constraint.key]
        found = sum(
            other.namespace == pod.namespace
            and other.uid != pod.uid
            and constraint.selector.matches(other.labels)
            and not is_deleting(other.pod)
            for other in node.pods.values()
        )
        counts[domain] = counts.get(domain, 0) + found
    return counts


def _exceeds(pod: PreparedPod, constraint: _Constraint, counts: Mapping[str, int], node: PreparedNode) -> bool:
    # With fewer domains than wanted the emptiest counts as empty, so that new domains are filled first.
    lowest = min(counts.values(), default=0) if len(counts) >= constraint.domains_min else 0
    own = int(constraint.selector.matches(pod.labels))
    return counts.get(node.labels[constraint.key], 0) + own - lowest > constraint.skew_max
