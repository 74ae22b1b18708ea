"""VolumeBinding: a Pod waits until its PersistentVolumeClaims exist and are bound.

Claims that are bound only once their first Pod has a node are not supported yet: they wait like the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from control.api.meta import is_deleting
from control.scheduler.framework import Change, Cluster, Code, Interest, PreFilterResult, Resource, Status
from control.scheduler.prepared import PreparedPod


class VolumeBinding:
    """Looks at the claims a Pod's volumes name."""

    name = "VolumeBinding"

    def interests(self) -> Iterable[Interest]:
        """A claim appears or is bound."""
        return (Interest(Resource.CLAIM, frozenset({Change.ADD, Change.UPDATE})),)

    def pre_filter(self, pod: PreparedPod, cluster: Cluster) -> PreFilterResult | None:
        """Refuse a Pod with a claim that is missing, going or unbound."""
        is_unbound = False
        for claim_name in _claim_names(pod):
            claim = cluster.find_claim(pod.namespace, claim_name)
            if claim is None:
                return self._refuse(f'persistentvolumeclaim "{claim_name}" not found')
            if (claim.get("status") or {}).get("phase") == "Lost":
                return self._refuse(f'persistentvolumeclaim "{claim_name}" bound to non-existent persistentvolume')
            if is_deleting(claim):
                return self._refuse(f'persistentvolumeclaim "{claim_name}" is being deleted')
            is_unbound = is_unbound or not (claim.get("spec") or {}).get("volumeName")
        return self._refuse("pod has unbound immediate PersistentVolumeClaims") if is_unbound else None

    def _refuse(self, reason: str) -> PreFilterResult:
        return PreFilterResult(Status(Code.UNRESOLVABLE, (reason,), self.name))


def _claim_names(pod: PreparedPod) -> Iterator[str]:
    for volume in pod.spec.get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield volume["persistentVolumeClaim"]["claimName"]
        elif volume.get("ephemeral"):
            yield f"{pod.pod['metadata']['name']}-{volume['name']}"
