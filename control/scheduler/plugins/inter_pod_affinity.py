"""InterPodAffinity: Pods that must be, or would like to be, near others or far from them within a topology."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control.scheduler.framework import (
    NODE_CHANGES,
    SCORE_MAX,
    Change,
    Cluster,
    Code,
    Interest,
    Rejections,
    Resource,
    Status,
)
from control.scheduler.prepared import PodTerm, PreparedNode, PreparedPod

Place = tuple[str, str]


class InterPodAffinity:
    """Looks where the Pods are that the terms mean, then judges each node by the places it belongs to."""

    name = "InterPodAffinity"
    weight = 2
    _not_near = Status(Code.UNRESOLVABLE, ("node(s) didn't match pod affinity rules",), name)
    _too_near = Status(Code.UNSCHEDULABLE, ("node(s) didn't match pod anti-affinity rules",), name)
    _unwelcome = Status(Code.UNSCHEDULABLE, ("node(s) didn't satisfy existing pods anti-affinity rules",), name)

    def interests(self) -> Iterable[Interest]:
        """Pods come and go, nodes change their place."""
        return (
            Interest(Resource.ASSIGNED_POD, frozenset(Change)),
            Interest(Resource.NODE, NODE_CHANGES),
        )

    def filter(
        self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster, rejected: Rejections
    ) -> Sequence[PreparedNode]:
        """Keep the nodes in the right places."""
        unwelcome = _unwelcome_places(pod, cluster) if cluster.has_anti_affinity() else set()
        if not pod.affinity_terms and not pod.anti_affinity_terms and not unwelcome:
            return nodes
        near = _places_of(pod, cluster, pod.affinity_terms, needs_all=True)
        far = _places_of(pod, cluster, pod.anti_affinity_terms, needs_all=False)
        is_first = bool(pod.affinity_terms) and not near and _selects_itself(pod, cluster)
        kept = []
        for node in nodes:
            if not _is_near(pod.affinity_terms, near, node, is_first=is_first):
                rejected[node.name] = self._not_near
            elif any(
                (term.topology_key, node.labels.get(term.topology_key)) in far for term in pod.anti_affinity_terms
            ):
                rejected[node.name] = self._too_near
            elif any(node.labels.get(key) == value for key, value in unwelcome):
                rejected[node.name] = self._unwelcome
            else:
                kept.append(node)
        return kept

    def score(self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster) -> Sequence[int] | None:
        """Sum of the wishes a place fulfils: the Pod's own, and those of the Pods that are there."""
        if not pod.preferred_pod_terms and not cluster.has_preferences():
            return None
        wishes = _wishes_by_place(pod, cluster)
        if not wishes:
            return None
        sums = [
            sum(weight for (key, value), weight in wishes.items() if node.labels.get(key) == value) for node in nodes
        ]
        lowest, highest = min(sums), max(sums)
        if lowest == highest:
            return None
        return [(total - lowest) * SCORE_MAX // (highest - lowest) for total in sums]


def _wishes_by_place(pod: PreparedPod, cluster: Cluster) -> dict[Place, int]:
    own_labels = cluster.namespace_labels(pod.namespace)
    wishes: dict[Place, int] = {}
    for node in cluster.all():
        for other in node.pods.values():
            if other.uid == pod.uid:
                continue
            labels = cluster.namespace_labels(other.namespace)
            weighted = [(weight, term) for weight, term in pod.preferred_pod_terms if term.selects(other, labels)]
            weighted += [(weight, term) for weight, term in other.preferred_pod_terms if term.selects(pod, own_labels)]
            # A placed Pod that must have others near welcomes one more of them (upstream's hardPodAffinityWeight 1).
            weighted += [(1, term) for term in other.affinity_terms if term.selects(pod, own_labels)]
            for weight, term in weighted:
                if term.topology_key in node.labels:
                    place = (term.topology_key, node.labels[term.topology_key])
                    wishes[place] = wishes.get(place, 0) + weight
    return wishes


def _is_near(terms: Sequence[PodTerm], near: set[Place], node: PreparedNode, *, is_first: bool) -> bool:
    """Whether a node is where all terms want it; the first Pod of a group that wants its own kind may go anywhere."""
    if not all(term.topology_key in node.labels for term in terms):
        return False
    return is_first or all((term.topology_key, node.labels[term.topology_key]) in near for term in terms)


def _selects_itself(pod: PreparedPod, cluster: Cluster) -> bool:
    labels = cluster.namespace_labels(pod.namespace)
    return all(term.selects(pod, labels) for term in pod.affinity_terms)


def _places_of(pod: PreparedPod, cluster: Cluster, terms: Sequence[PodTerm], *, needs_all: bool) -> set[Place]:
    """Places of the Pods the terms mean: a Pod must fit all terms (affinity) or only the one it counts for."""
    places: set[Place] = set()
    if not terms:
        return places
    for node in cluster.all():
        for other in node.pods.values():
            if other.uid == pod.uid:
                continue
            labels = cluster.namespace_labels(other.namespace)
            fitting = [term for term in terms if term.selects(other, labels)]
            if needs_all and len(fitting) < len(terms):
                continue
            places.update(
                (term.topology_key, node.labels[term.topology_key])
                for term in fitting
                if term.topology_key in node.labels
            )
    return places


def _unwelcome_places(pod: PreparedPod, cluster: Cluster) -> set[Place]:
    """Places of Pods that keep a Pod like this one away."""
    own_labels = cluster.namespace_labels(pod.namespace)
    return {
        (term.topology_key, node.labels[term.topology_key])
        for node in cluster.all()
        for other in node.pods.values()
        if other.uid != pod.uid
        for term in other.anti_affinity_terms
        if term.topology_key in node.labels and term.selects(pod, own_labels)
    }
