"""VolumeZone: a Pod goes to nodes in the zones and regions that its bound volumes are labelled with.

Upstream: pkg/scheduler/framework/plugins/volumezone (v1.36). Volumes of today say where they can be reached in their
node affinity; the labels are of those that came before. A node without any such label takes all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from control.api.meta import labels_of
from control.api.objects import ReadOnlyObject
from control.scheduler.framework import (
    NODE_CHANGES,
    Change,
    Cluster,
    Code,
    Interest,
    Rejections,
    Resource,
    Status,
)
from control.scheduler.prepared import PreparedNode, PreparedPod

_ZONE, _REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
#: label → the one that stands for it where a node has not got it
_TOPOLOGY_LABELS = {
    _ZONE: _ZONE,
    _REGION: _REGION,
    "failure-domain.beta.kubernetes.io/zone": _ZONE,
    "failure-domain.beta.kubernetes.io/region": _REGION,
}
_SEPARATOR = "__"
_APPEARS = frozenset({Change.ADD, Change.UPDATE})


class VolumeZone:
    """Looks at the labels of volumes."""

    name = "VolumeZone"
    _refusal = Status(Code.UNRESOLVABLE, ("node(s) had no available volume zone",), name)

    def interests(self) -> Iterable[Interest]:
        """A claim, a volume, a class or a node that changes."""
        return (
            Interest(Resource.CLAIM, _APPEARS),
            Interest(Resource.VOLUME, _APPEARS),
            Interest(Resource.STORAGE_CLASS, frozenset({Change.ADD})),
            Interest(Resource.NODE, NODE_CHANGES),
        )

    def filter(
        self, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster, rejected: Rejections
    ) -> Sequence[PreparedNode]:
        """Keep the nodes in one of the places that each label names."""
        places = [place for volume in _volumes_of(pod, cluster) for place in _places_of(volume)]
        if not places:
            return nodes
        kept = []
        for node in nodes:
            if all(_is_in(node.labels, label, values) for label, values in places):
                kept.append(node)
            else:
                rejected[node.name] = self._refusal
        return kept


def _volumes_of(pod: PreparedPod, cluster: Cluster) -> Iterable[ReadOnlyObject]:
    for key in pod.claims:
        claim = cluster.storage.find_claim(key)
        name = claim["spec"].get("volumeName") if claim is not None else None
        volume = cluster.storage.find_volume(name) if name else None
        if volume is not None:
            yield volume


def _places_of(volume: ReadOnlyObject) -> Iterable[tuple[str, frozenset[str]]]:
    for label in _TOPOLOGY_LABELS:
        value = labels_of(volume).get(label)
        if value is not None and all(value.split(_SEPARATOR)):
            yield label, frozenset(value.split(_SEPARATOR))


def _is_in(node_labels: Mapping[str, str], label: str, values: frozenset[str]) -> bool:
    if not any(one in node_labels for one in _TOPOLOGY_LABELS):
        return True
    return node_labels.get(label, node_labels.get(_TOPOLOGY_LABELS[label])) in values
