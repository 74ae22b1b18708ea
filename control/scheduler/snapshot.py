"""`Snapshot`: all nodes with the Pods on them, kept up to date by events, assumed Pods included.

A Pod is assumed between the decision to bind it and the moment the watch shows it bound, so that the next decision
already sees its place taken. Everything happens on one event loop and a decision never waits, so the snapshot is read
in place and never copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from control.api.meta import labels_of
from control.api.objects import ReadOnlyObject
from control.scheduler.prepared import PreparedNode, PreparedPod
from control.scheduler.storage_view import StorageView


class Snapshot:
    """Nodes, assigned Pods, assumed Pods and nominations."""

    def __init__(self) -> None:
        self._nodes: dict[str, PreparedNode] = {}
        self._list: list[PreparedNode] | None = None
        self._places: dict[str, str] = {}
        self._pods_by_node: dict[str, dict[str, PreparedPod]] = {}
        self._assumed: set[str] = set()
        self._with_anti_affinity: set[str] = set()
        self._with_preferences: set[str] = set()
        self._claim_users: dict[str, set[str]] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self.storage = StorageView()
        self._nominations: dict[str, tuple[str, PreparedPod]] = {}

    def find(self, name: str) -> PreparedNode | None:
        """Return a node, or None."""
        return self._nodes.get(name)

    def all(self) -> Sequence[PreparedNode]:
        """Return every node."""
        if self._list is None:
            self._list = list(self._nodes.values())
        return self._list

    def has_anti_affinity(self) -> bool:
        """Whether any placed Pod keeps others away from itself."""
        return bool(self._with_anti_affinity)

    def has_preferences(self) -> bool:
        """Whether any placed Pod would like or must have others near itself, or would not."""
        return bool(self._with_preferences)

    def claim_users(self, claim_key: str) -> Set[str]:
        """Return the UIDs of the placed Pods that use a PersistentVolumeClaim."""
        return self._claim_users.get(claim_key, frozenset())

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """Return the labels of a namespace."""
        return self._namespaces.get(namespace, {})

    def put_namespace(self, namespace: ReadOnlyObject) -> None:
        """Note the labels of a namespace."""
        self._namespaces[namespace["metadata"]["name"]] = labels_of(namespace)

    def remove_namespace(self, name: str) -> None:
        """Forget a namespace."""
        self._namespaces.pop(name, None)

    def put_node(self, node: ReadOnlyObject) -> None:
        """Add or change a node; Pods that were bound to it before it appeared are counted."""
        name = node["metadata"]["name"]
        known = self._nodes.get(name)
        if known is not None:
            known.update(node)
            return
        prepared = PreparedNode(node)
        for pod in self._pods_by_node.get(name, {}).values():
            prepared.add(pod)
        self._nodes[name] = prepared
        self._list = None

    def remove_node(self, name: str) -> None:
        """Forget a node; its Pods are remembered, in case it comes back."""
        if self._nodes.pop(name, None) is not None:
            self._list = None

    def put_pod(self, pod: PreparedPod, node_name: str) -> None:
        """Count a Pod that is bound; this confirms it if it was assumed."""
        self._assumed.discard(pod.uid)
        self._place(pod, node_name)

    def refresh_pod(self, uid: str, pod: ReadOnlyObject) -> None:
        """Take over a Pod's newer object when nothing that counts has changed."""
        node_name = self._places.get(uid)
        if node_name is not None:
            self._pods_by_node[node_name][uid].pod = pod

    def remove_pod(self, uid: str) -> None:
        """Stop counting a Pod that ended or is gone."""
        self._assumed.discard(uid)
        self._unplace(uid)
        self._nominations.pop(uid, None)

    def assume(self, pod: PreparedPod, node_name: str) -> None:
        """Count a Pod whose binding is under way."""
        self._assumed.add(pod.uid)
        self._place(pod, node_name)
        self._nominations.pop(pod.uid, None)

    def forget(self, uid: str) -> None:
        """Give an assumed Pod's place back: its binding failed. A confirmed Pod stays."""
        if uid in self._assumed:
            self._assumed.discard(uid)
            self._unplace(uid)

    def is_assumed(self, uid: str) -> bool:
        """Whether a Pod's binding is not confirmed yet."""
        return uid in self._assumed

    def node_of(self, uid: str) -> str | None:
        """Name of the node a Pod is counted on, or None."""
        return self._places.get(uid)

    def nominate(self, pod: PreparedPod, node_name: str) -> None:
        """Keep room on a node for a Pod that waits for victims to leave."""
        self._nominations[pod.uid] = (node_name, pod)

    def drop_nomination(self, uid: str) -> None:
        """Stop keeping room for a Pod."""
        self._nominations.pop(uid, None)

    def nominated_for(self, pod: PreparedPod) -> dict[str, list[PreparedPod]]:
        """Other nominated Pods of at least this Pod's priority, by node: their room is not free for it."""
        nominated: dict[str, list[PreparedPod]] = {}
        if not self._nominations:
            return nominated
        for uid, (node_name, other) in self._nominations.items():
            if uid != pod.uid and other.priority >= pod.priority:
                nominated.setdefault(node_name, []).append(other)
        return nominated

    def nominated_below(self, node_name: str, priority: int) -> Iterable[PreparedPod]:
        """Pods of lower priority that are nominated to a node."""
        return [pod for name, pod in self._nominations.values() if name == node_name and pod.priority < priority]

    def _place(self, pod: PreparedPod, node_name: str) -> None:
        self._unplace(pod.uid)
        self._places[pod.uid] = node_name
        self._pods_by_node.setdefault(node_name, {})[pod.uid] = pod
        if pod.anti_affinity_terms:
            self._with_anti_affinity.add(pod.uid)
        if pod.preferred_pod_terms or pod.affinity_terms:
            self._with_preferences.add(pod.uid)
        for claim_key in pod.claims:
            self._claim_users.setdefault(claim_key, set()).add(pod.uid)
        node = self._nodes.get(node_name)
        if node is not None:
            node.add(pod)

    def _unplace(self, uid: str) -> None:
        node_name = self._places.pop(uid, None)
        if node_name is None:
            return
        self._with_anti_affinity.discard(uid)
        self._with_preferences.discard(uid)
        pods = self._pods_by_node[node_name]
        for claim_key in pods.pop(uid).claims:
            self._claim_users[claim_key].discard(uid)
            if not self._claim_users[claim_key]:
                del self._claim_users[claim_key]
        if not pods:
            del self._pods_by_node[node_name]
        node = self._nodes.get(node_name)
        if node is not None:
            node.remove(uid)


class Overlay:
    """The snapshot with some nodes replaced: what the cluster would look like if Pods left or came."""

    def __init__(self, snapshot: Snapshot, replaced: Mapping[str, PreparedNode]) -> None:
        self._snapshot = snapshot
        self._replaced = replaced

    def find(self, name: str) -> PreparedNode | None:
        """Return a node as it would be, or None."""
        return self._replaced.get(name) or self._snapshot.find(name)

    def all(self) -> Sequence[PreparedNode]:
        """Return every node as it would be."""
        return [self._replaced.get(node.name, node) for node in self._snapshot.all()]

    def has_anti_affinity(self) -> bool:
        """Whether any Pod would keep others away from itself."""
        return self._snapshot.has_anti_affinity() or any(
            pod.anti_affinity_terms for node in self._replaced.values() for pod in node.pods.values()
        )

    def has_preferences(self) -> bool:
        """Whether any Pod would like or must have others near itself, or would not."""
        return self._snapshot.has_preferences()

    def claim_users(self, claim_key: str) -> Set[str]:
        """Return the UIDs of the Pods that would use a PersistentVolumeClaim."""
        elsewhere = (
            uid for uid in self._snapshot.claim_users(claim_key) if self._snapshot.node_of(uid) not in self._replaced
        )
        pods = (pod for node in self._replaced.values() for pod in node.pods.values())
        return {*elsewhere, *(pod.uid for pod in pods if claim_key in pod.claims)}

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """Return the labels of a namespace."""
        return self._snapshot.namespace_labels(namespace)

    @property
    def storage(self) -> StorageView:
        """Claims, volumes and classes: they are what they are."""
        return self._snapshot.storage
