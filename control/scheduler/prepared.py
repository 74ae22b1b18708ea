"""Pods and nodes as the plugins see them: read once from the object, then integers and tuples.

A plugin looks at a thousand nodes per Pod, so nothing here walks a dict of the API. `PreparedNode` is mutable and owned
by the snapshot; everybody else reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from control.api.affinity import NodeRequirements, NodeSelectorTerm, node_requirements, preferred_terms
from control.api.declared_features import declared_features, features_to_run
from control.api.fit import HostPort, allocatable_of, host_ports_of
from control.api.meta import labels_of, namespaced_key, object_key
from control.api.objects import ReadOnlyObject
from control.api.pods import ASSUMED_REQUESTS, all_containers_of, node_name_of, pod_requests, priority_of
from control.api.selectors import LabelSelector, selector_from_object
from control.api.taints import PREFER_NO_SCHEDULE, SCHEDULING_EFFECTS, Taint, Toleration, taints_of, tolerations_of
from control.api.volumes import claim_names

_PLAIN_RESOURCES = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True)
class PodTerm:
    """A term of inter-pod affinity: other Pods of these namespaces and labels, in one value of the topology key."""

    selector: LabelSelector
    namespaces: frozenset[str]
    namespace_selector: LabelSelector
    topology_key: str

    def selects(self, pod: PreparedPod, namespace_labels: Mapping[str, str]) -> bool:
        """Whether a Pod is meant; `namespace_labels` are those of its namespace."""
        if pod.namespace not in self.namespaces and not self.namespace_selector.matches(namespace_labels):
            return False
        return self.selector.matches(pod.labels)


class PreparedPod:
    """What a Pod asks for. `cpu` is in thousandths; `scored_*` assume a little for containers that ask for nothing."""

    __slots__ = (
        "affinity_terms",
        "anti_affinity_terms",
        "claims",
        "cpu",
        "ephemeral_storage",
        "features",
        "host_ports",
        "images",
        "key",
        "labels",
        "memory",
        "namespace",
        "pod",
        "preferred",
        "preferred_pod_terms",
        "priority",
        "requests",
        "requirements",
        "scalars",
        "scored_cpu",
        "scored_memory",
        "tolerations",
        "uid",
    )

    def __init__(self, pod: ReadOnlyObject) -> None:
        self.pod = pod
        self.key = object_key(pod)
        self.uid: str = pod["metadata"].get("uid") or self.key
        self.namespace: str = pod["metadata"].get("namespace") or ""
        self.labels: Mapping[str, str] = labels_of(pod)
        self.priority = priority_of(pod)
        self.requests = pod_requests(pod, use_status=bool(node_name_of(pod)))
        self.cpu = self.requests.get("cpu", 0)
        self.memory = self.requests.get("memory", 0)
        self.ephemeral_storage = self.requests.get("ephemeral-storage", 0)
        self.scalars = {name: amount for name, amount in self.requests.items() if name not in _PLAIN_RESOURCES}
        assumed = pod_requests(pod, assumed=ASSUMED_REQUESTS)
        self.scored_cpu = assumed.get("cpu", 0)
        self.scored_memory = assumed.get("memory", 0)
        self.tolerations: tuple[Toleration, ...] = tuple(tolerations_of(pod))
        self.requirements: NodeRequirements = node_requirements(pod)
        self.preferred: tuple[tuple[int, NodeSelectorTerm], ...] = tuple(preferred_terms(pod))
        self.host_ports: tuple[HostPort, ...] = host_ports_of(pod)
        #: keys of the PersistentVolumeClaims behind its volumes
        self.claims = frozenset(namespaced_key(self.namespace, name) for name in claim_names(pod))
        #: what its node has to declare
        self.features = features_to_run(pod)
        self.affinity_terms = _required_terms(pod, "podAffinity")
        self.anti_affinity_terms = _required_terms(pod, "podAntiAffinity")
        self.preferred_pod_terms = _preferred_terms(pod)
        self.images = tuple(container["image"] for container in all_containers_of(pod) if container.get("image"))

    @property
    def spec(self) -> Mapping[str, Any]:
        """The Pod's spec."""
        spec: Mapping[str, Any] = self.pod["spec"]
        return spec


def _required_terms(pod: ReadOnlyObject, field: str) -> tuple[PodTerm, ...]:
    affinity = (pod["spec"].get("affinity") or {}).get(field) or {}
    terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    return tuple(_read_term(pod, term) for term in terms)


def _preferred_terms(pod: ReadOnlyObject) -> tuple[tuple[int, PodTerm], ...]:
    """Weighted wishes about other Pods; a wish to be far from them has a negative weight."""
    affinity = pod["spec"].get("affinity") or {}
    return tuple(
        (sign * int(item["weight"]), _read_term(pod, item["podAffinityTerm"]))
        for field, sign in (("podAffinity", 1), ("podAntiAffinity", -1))
        for item in (affinity.get(field) or {}).get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    )


def _read_term(pod: ReadOnlyObject, term: Mapping[str, Any]) -> PodTerm:
    """Without namespaces and namespaceSelector a term means the Pod's own namespace."""
    namespaces = frozenset(term.get("namespaces") or ())
    namespace_selector = term.get("namespaceSelector")
    if not namespaces and namespace_selector is None:
        namespaces = frozenset({pod["metadata"].get("namespace") or ""})
    return PodTerm(
        selector_from_object(term.get("labelSelector")),
        namespaces,
        selector_from_object(namespace_selector),
        term.get("topologyKey") or "",
    )


class PreparedNode:
    """A node with what its Pods have taken. `blocking_taints` keep Pods away, `soft_taints` only cost score."""

    __slots__ = (
        "blocking_taints",
        "cpu",
        "cpu_used",
        "ephemeral_storage",
        "ephemeral_storage_used",
        "features",
        "image_bytes",
        "labels",
        "memory",
        "memory_used",
        "name",
        "node",
        "pod_count_max",
        "pods",
        "ports_used",
        "scalars",
        "scalars_used",
        "scored_cpu_used",
        "scored_memory_used",
        "soft_taints",
        "unschedulable",
    )

    def __init__(self, node: ReadOnlyObject) -> None:
        self.pods: dict[str, PreparedPod] = {}
        self.ports_used: list[HostPort] = []
        self.scalars_used: dict[str, int] = {}
        self.cpu_used = self.memory_used = self.ephemeral_storage_used = 0
        self.scored_cpu_used = self.scored_memory_used = 0
        self.update(node)

    def update(self, node: ReadOnlyObject) -> None:
        """Read the node's object anew; its Pods stay."""
        self.node = node
        self.name: str = node["metadata"]["name"]
        self.labels: Mapping[str, str] = labels_of(node)
        self.unschedulable = bool((node.get("spec") or {}).get("unschedulable"))
        taints = taints_of(node)
        self.blocking_taints: tuple[Taint, ...] = tuple(t for t in taints if t.get("effect") in SCHEDULING_EFFECTS)
        self.soft_taints: tuple[Taint, ...] = tuple(t for t in taints if t.get("effect") == PREFER_NO_SCHEDULE)
        self.features = declared_features(node)
        amounts = allocatable_of(node)
        self.cpu = amounts.pop("cpu", 0)
        self.memory = amounts.pop("memory", 0)
        self.ephemeral_storage = amounts.pop("ephemeral-storage", 0)
        self.pod_count_max = amounts.pop("pods", 0)
        self.scalars = amounts
        self.image_bytes = {
            name: int(image.get("sizeBytes") or 0)
            for image in (node.get("status") or {}).get("images") or ()
            for name in image.get("names") or ()
        }

    def add(self, pod: PreparedPod) -> None:
        """Count a Pod; one that is already counted (by uid) is replaced."""
        if pod.uid in self.pods:
            self.remove(pod.uid)
        self.pods[pod.uid] = pod
        self._count(pod, 1)
        self.ports_used.extend(pod.host_ports)

    def remove(self, uid: str) -> PreparedPod | None:
        """Stop counting a Pod; returns it."""
        pod = self.pods.pop(uid, None)
        if pod is None:
            return None
        self._count(pod, -1)
        for port in pod.host_ports:
            self.ports_used.remove(port)
        return pod

    def _count(self, pod: PreparedPod, sign: int) -> None:
        self.cpu_used += sign * pod.cpu
        self.memory_used += sign * pod.memory
        self.ephemeral_storage_used += sign * pod.ephemeral_storage
        self.scored_cpu_used += sign * pod.scored_cpu
        self.scored_memory_used += sign * pod.scored_memory
        for name, amount in pod.scalars.items():
            self.scalars_used[name] = self.scalars_used.get(name, 0) + sign * amount

    def copy(self) -> PreparedNode:
        """An independent copy, to try what other Pods would change."""
        twin = PreparedNode.__new__(PreparedNode)
        for field in PreparedNode.__slots__:
            setattr(twin, field, getattr(self, field))
        twin.pods = dict(self.pods)
        twin.ports_used = list(self.ports_used)
        twin.scalars_used = dict(self.scalars_used)
        return twin
