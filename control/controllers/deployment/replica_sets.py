"""The ReplicaSets of a Deployment: which is new, which are old, what they are annotated with, how they change size."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from control.api.builtin_kinds import REPLICA_SETS
from control.api.meta import annotations_of, make_owner_reference
from control.api.objects import Object, ReadOnlyObject, copy_object
from control.client.writes import Create, Notice, Step, Update
from control.controllers.deployment.bounds import max_surge, new_replica_set_size
from control.controllers.deployment.template_hash import HASH_LABEL, compute_template_hash, is_same_template
from control.controllers.scale import replicas_of

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
REVISION_HISTORY_LENGTH_MAX = 2000

_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
}
_INTEGER = re.compile(r"[+-]?\d+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReplicaSets:
    """A Deployment's ReplicaSets, old ones by age (oldest first)."""

    new: Object | None
    old: list[Object] = field(default_factory=list)

    @property
    def all(self) -> list[Object]:
        """Old ones and the new one."""
        return self.old if self.new is None else [*self.old, self.new]


def find_replica_sets(deployment: ReadOnlyObject, owned: Iterable[Object]) -> ReplicaSets:
    """Tell the new ReplicaSet (the oldest with the Deployment's template) from the old ones."""
    by_age = sorted(owned, key=age_key)
    template = deployment["spec"]["template"]
    new = next((item for item in by_age if is_same_template(item["spec"]["template"], template)), None)
    return ReplicaSets(new, [item for item in by_age if item is not new])


def age_key(obj: ReadOnlyObject) -> tuple[str, str]:
    """Sort key: oldest first, then by name."""
    return (obj["metadata"].get("creationTimestamp") or "", obj["metadata"]["name"])


def active(replica_sets: Iterable[Object]) -> list[Object]:
    """Those that want Pods."""
    return [item for item in replica_sets if replicas_of(item) > 0]


def integer_annotation(obj: ReadOnlyObject, name: str) -> int | None:
    """Read an integer annotation; None when absent or not an integer."""
    text = annotations_of(obj).get(name, "")
    return int(text) if _INTEGER.match(text) else None


def next_revision(old: Iterable[ReadOnlyObject]) -> int:
    """Revision of the new ReplicaSet: one more than any old one has."""
    return max((integer_annotation(item, REVISION) or 0 for item in old), default=0) + 1


def annotate_new(
    deployment: ReadOnlyObject, annotations: dict[str, str], revision: int, *, is_created: bool
) -> dict[str, str]:
    """Annotations of the new ReplicaSet: the Deployment's own, its revision, and at creation its sizes."""
    result = dict(annotations)
    for name, value in annotations_of(deployment).items():
        if name not in _NOT_COPIED:
            result[name] = value
    old_text = annotations.get(REVISION, "")
    old_revision = int(old_text) if _INTEGER.match(old_text) else 0
    if old_revision < revision:
        result[REVISION] = str(revision)
        if old_text:
            result[REVISION_HISTORY] = _extend_history(annotations.get(REVISION_HISTORY, ""), old_text)
    return result | size_annotations(deployment) if is_created else result


def _extend_history(history: str, revision: str) -> str:
    revisions = [*history.split(","), revision] if history else [revision]
    while len(revisions) > 1 and len(",".join(revisions)) > REVISION_HISTORY_LENGTH_MAX:
        revisions.pop(0)
    return ",".join(revisions)


def size_annotations(deployment: ReadOnlyObject) -> dict[str, str]:
    """What a proportional scaling later reads: the Deployment's size and its limit when this one was set."""
    desired = replicas_of(deployment)
    return {DESIRED_REPLICAS: str(desired), MAX_REPLICAS: str(desired + max_surge(deployment))}


def create_new(deployment: ReadOnlyObject, sets: ReplicaSets) -> Create:
    """Plan the ReplicaSet for a template that has none, at the size the bounds allow from the start."""
    spec, metadata = deployment["spec"], deployment["metadata"]
    template_hash = compute_template_hash(spec["template"], (deployment.get("status") or {}).get("collisionCount"))
    template = copy_object(spec["template"])
    template_metadata = template.setdefault("metadata", {})
    template_metadata["labels"] = {**(template_metadata.get("labels") or {}), HASH_LABEL: template_hash}
    selector = copy_object(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: template_hash}
    size = new_replica_set_size(deployment, sets.all, 0)
    name = f"{metadata['name']}-{template_hash}"
    new: Object = {
        "apiVersion": REPLICA_SETS.api_version,
        "kind": REPLICA_SETS.kind,
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": dict(template_metadata["labels"]),
            "annotations": annotate_new(deployment, {}, next_revision(sets.old), is_created=True),
            "ownerReferences": [make_owner_reference(deployment)],
        },
        "spec": {"replicas": size, "selector": selector, "template": template},
    }
    if spec.get("minReadySeconds"):
        new["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    return Create(
        kind=REPLICA_SETS,
        obj=new,
        cause=f"no ReplicaSet has the template of Deployment {metadata['name']}",
        success=_scaled(deployment, name, 0, size) if size else None,
        failure=None,
    )


def update_new(deployment: ReadOnlyObject, sets: ReplicaSets) -> Update | None:
    """Plan what the existing new ReplicaSet still lacks: revision, the Deployment's annotations, minReadySeconds."""
    new = sets.new
    if new is None:
        return None
    annotations = annotate_new(deployment, dict(annotations_of(new)), next_revision(sets.old), is_created=False)
    min_ready_seconds = deployment["spec"].get("minReadySeconds") or 0
    if annotations == annotations_of(new) and (new["spec"].get("minReadySeconds") or 0) == min_ready_seconds:
        return None
    changed = {
        **new,
        "metadata": {**new["metadata"], "annotations": annotations},
        "spec": {**new["spec"], "minReadySeconds": min_ready_seconds},
    }
    return Update(kind=REPLICA_SETS, obj=changed, cause="the Deployment's annotations or revision changed")


def scale(deployment: ReadOnlyObject, replica_set: ReadOnlyObject, sizes: Sequence[int], cause: str) -> list[Step]:
    """Plan one write that brings a ReplicaSet to the last of `sizes`, and one Event for each size on the way."""
    annotations = {**annotations_of(replica_set), **size_annotations(deployment)}
    current = replicas_of(replica_set)
    steps = [size for position, size in enumerate(sizes) if size != (sizes[position - 1] if position else current)]
    if not steps and annotations == annotations_of(replica_set):
        return []
    name = replica_set["metadata"]["name"]
    target = steps[-1] if steps else current
    changed = {
        **replica_set,
        "metadata": {**replica_set["metadata"], "annotations": annotations},
        "spec": {**replica_set["spec"], "replicas": target},
    }
    notices: list[Notice] = []
    for size in steps:
        notices.append(_scaled(deployment, name, current, size))
        current = size
    return [Update(kind=REPLICA_SETS, obj=changed, cause=cause), *notices]


def _scaled(deployment: ReadOnlyObject, name: str, source: int, target: int) -> Notice:
    direction = "up" if target > source else "down"
    return Notice(
        regarding=deployment,
        reason="ScalingReplicaSet",
        message=f"Scaled {direction} replica set {name} from {source} to {target}",
    )
