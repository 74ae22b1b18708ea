"""VolumeRestrictions: a claim of the access mode ReadWriteOncePod serves one Pod of the whole cluster at a time.

KEP-2485. The Pod that uses the claim may be on any node, so all nodes are refused alike; where it runs, evicting it
would help.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from control.api.meta import namespace_of, namespaced_key
from control.api.volumes import claim_names, is_for_one_pod
from control.scheduler.framework import Change, Cluster, ClusterEvent, Code, Interest, Rejections, Resource, Status
from control.scheduler.prepared import PreparedNode, PreparedPod


class VolumeRestrictions:
    """Looks for other Pods that use the Pod's claims."""

    name = "VolumeRestrictions"
    _refusal = Status(
        Code.UNSCHEDULABLE,
        ("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",),
        name,
    )

    def interests(self) -> Iterable[Interest]:
        """A Pod that lets go of a claim, or a new node."""
        return (
            Interest(Resource.ASSIGNED_POD, frozenset({Change.DELETE}), _frees_claim),
            Interest(Resource.NODE, frozenset({Change.ADD})),
        )

    def filter(
        self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster, rejected: Rejections
    ) -> Sequence[PreparedNode]:
        """Keep all nodes or none."""
        if not any(_is_taken(key, pod, cluster) for key in pod.claims):
            return nodes
        rejected.update({node.name: self._refusal for node in nodes})
        return []


def _is_taken(claim_key: str, pod: PreparedPod, cluster: Cluster) -> bool:
    claim = cluster.storage.find_claim(claim_key)
    return claim is not None and is_for_one_pod(claim) and bool(cluster.claim_users(claim_key) - {pod.uid})


def _frees_claim(pod: PreparedPod, event: ClusterEvent) -> bool:
    if event.old is None or namespace_of(event.old) != pod.namespace:
        return False
    return any(namespaced_key(pod.namespace, name) in pod.claims for name in claim_names(event.old))
