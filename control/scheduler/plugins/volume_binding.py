"""VolumeBinding: a Pod goes where its claims' volumes can be reached, or where volumes for them can be had.

Claims that are bound at once must be bound before. Those of a class with WaitForFirstConsumer are decided here with
the node, and written before the Pod is bound (volume_binder.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from control.api.meta import controller_of, is_deleting, namespaced_key, object_key, uid_of
from control.api.objects import ReadOnlyObject
from control.api.volumes import claim_name_of, is_claim_bound
from control.scheduler.framework import (
    NODE_CHANGES,
    Change,
    Cluster,
    ClusterEvent,
    Code,
    Interest,
    PreFilterResult,
    Rejections,
    Resource,
    Status,
)
from control.scheduler.prepared import PreparedNode, PreparedPod

_APPEARS = frozenset({Change.ADD, Change.UPDATE})


class VolumeBinding:
    """Looks at the claims behind a Pod's volumes."""

    name = "VolumeBinding"

    def interests(self) -> Iterable[Interest]:
        """A claim of the Pod appears or is bound; a volume, a class or a node that may serve one."""
        return (
            Interest(Resource.CLAIM, _APPEARS, _is_own_claim),
            Interest(Resource.VOLUME, _APPEARS),
            Interest(Resource.STORAGE_CLASS, _APPEARS),
            Interest(Resource.NODE, NODE_CHANGES),
        )

    def pre_filter(self, pod: PreparedPod, cluster: Cluster) -> PreFilterResult | None:
        """Refuse a Pod with a claim that is missing, lost, going, somebody else's, or not bound at once."""
        is_unbound = False
        for volume in pod.spec.get("volumes") or ():
            claim_name = claim_name_of(pod.pod, volume)
            if not claim_name:
                continue
            claim = cluster.storage.find_claim(namespaced_key(pod.namespace, claim_name))
            problem = _problem(pod, volume, claim_name, claim)
            if problem:
                return self._refuse(problem)
            assert claim is not None
            is_unbound = is_unbound or not (is_claim_bound(claim) or cluster.storage.binds_late(claim))
        return self._refuse("pod has unbound immediate PersistentVolumeClaims") if is_unbound else None

    def filter(
        self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster, rejected: Rejections
    ) -> Sequence[PreparedNode]:
        """Keep the nodes on which every claim has a volume, or can get one."""
        claims = claims_of(pod, cluster)
        if not claims:
            return nodes
        kept = []
        for node in nodes:
            plan = cluster.storage.plan(claims, node)
            if isinstance(plan, str):
                rejected[node.name] = Status(Code.UNRESOLVABLE, (plan,), self.name)
            else:
                kept.append(node)
        return kept

    def _refuse(self, reason: str) -> PreFilterResult:
        return PreFilterResult(Status(Code.UNRESOLVABLE, (reason,), self.name))


def claims_of(pod: PreparedPod, cluster: Cluster) -> list[ReadOnlyObject]:
    """Return the claims behind a Pod's volumes, as far as they exist."""
    found = [cluster.storage.find_claim(key) for key in sorted(pod.claims)]
    return [claim for claim in found if claim is not None]


def _problem(pod: PreparedPod, volume: Any, claim_name: str, claim: ReadOnlyObject | None) -> str:
    """Why a claim can serve no Pod now; in upstream's words."""
    if claim is None:
        if volume.get("ephemeral"):
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{claim_name}"'
        return f'persistentvolumeclaim "{claim_name}" not found'
    if (claim.get("status") or {}).get("phase") == "Lost":
        volume_name = claim["spec"].get("volumeName", "")
        return f'persistentvolumeclaim "{claim_name}" bound to non-existent persistentvolume "{volume_name}"'
    if is_deleting(claim):
        return f'persistentvolumeclaim "{claim_name}" is being deleted'
    if volume.get("ephemeral") and (controller_of(claim) or {}).get("uid") != uid_of(pod.pod):
        full_name = f"{pod.namespace}/{claim_name}"
        return f"PVC {full_name} was not created for pod {pod.key} (pod is not owner)"
    return ""


def _is_own_claim(pod: PreparedPod, event: ClusterEvent) -> bool:
    return event.new is not None and object_key(event.new) in pod.claims
