"""Arithmetic of persistent volumes: which claims a Pod has, and which volume may serve which claim on which node.

Shared by the volume controllers, the scheduler's VolumeBinding and the agent. The rules are those of
k8s.io/component-helpers/storage/volume (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from control.api.affinity import read_node_selector
from control.api.meta import annotations_of, is_deleting, labels_of, name_of, namespace_of, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import all_containers_of
from control.api.quantity import parse_quantity
from control.api.selectors import selector_from_object

BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER: Final = "volume.beta.kubernetes.io/storage-provisioner"
BETA_STORAGE_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"

#: provisioner of classes whose volumes are made by hand
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"

#: Podling's own provisioner: directories of the node. Upstream's clusters bring one of their own in this place.
LOCAL_PROVISIONER: Final = "podling.io/local"
#: annotation of a Node: the directory below which it keeps the volumes of `LOCAL_PROVISIONER`
VOLUME_ROOT: Final = "podling.io/volume-root"
HOSTNAME_LABEL: Final = "kubernetes.io/hostname"


def claim_name_of(pod: ReadOnlyObject, volume: Mapping[str, Any]) -> str:
    """Return the name of the claim behind a Pod's volume; empty for one of another type."""
    if volume.get("persistentVolumeClaim"):
        return str(volume["persistentVolumeClaim"]["claimName"])
    if volume.get("ephemeral"):
        return f"{pod['metadata']['name']}-{volume['name']}"
    return ""


def claim_names(pod: ReadOnlyObject) -> Iterator[str]:
    """Yield the names of the claims behind a Pod's volumes."""
    for volume in pod["spec"].get("volumes") or ():
        if name := claim_name_of(pod, volume):
            yield name


def used_volumes(pod: ReadOnlyObject) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the volumes that containers mount, and of those that they have as devices.

    Other volumes of a Pod are never prepared, so nothing has to be there for them (upstream's GetPodVolumeNames).
    """
    containers = all_containers_of(pod)
    mounted = frozenset(one["name"] for container in containers for one in container.get("volumeMounts") or ())
    mapped = frozenset(one["name"] for container in containers for one in container.get("volumeDevices") or ())
    return mounted, mapped


def class_of_claim(claim: ReadOnlyObject) -> str:
    """Return the StorageClass a claim names; empty when it names none."""
    return str(annotations_of(claim).get(BETA_STORAGE_CLASS) or claim["spec"].get("storageClassName") or "")


def class_of_volume(volume: ReadOnlyObject) -> str:
    """Return the StorageClass of a volume; empty when it has none."""
    return str(annotations_of(volume).get(BETA_STORAGE_CLASS) or volume["spec"].get("storageClassName") or "")


def binds_late(storage_class: ReadOnlyObject | None) -> bool:
    """Whether claims of the class are bound only when their first Pod has a node."""
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def is_for_one_pod(obj: ReadOnlyObject) -> bool:
    """Whether a claim or a volume is for a single Pod: ReadWriteOncePod is its only access mode.

    The API allows no claim ReadWriteOncePod beside another mode; of a volume with several it is not known which one its
    user wants.
    """
    return list(obj["spec"].get("accessModes") or ()) == ["ReadWriteOncePod"]


def is_claim_bound(claim: ReadOnlyObject) -> bool:
    """Whether both directions of the binding are written."""
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in annotations_of(claim)


def lacks_phase(claim: ReadOnlyObject) -> bool:
    """Whether a bound claim does not show it yet: the phase is written last, and no node mounts anything before."""
    phase = (claim.get("status") or {}).get("phase") or "Pending"
    return bool(phase == "Pending")


def refers_to(volume: ReadOnlyObject, claim: ReadOnlyObject) -> bool:
    """Whether a volume is bound to a claim, or kept for it by somebody who did not know its UID yet."""
    reference = volume["spec"].get("claimRef")
    if not reference:
        return False
    if (reference.get("namespace"), reference.get("name")) != (namespace_of(claim), name_of(claim)):
        return False
    return not reference.get("uid") or reference["uid"] == uid_of(claim)


def claim_reference(claim: ReadOnlyObject) -> Object:
    """Return the claimRef of a volume that is bound to the claim."""
    return {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": namespace_of(claim),
        "name": name_of(claim),
        "uid": uid_of(claim),
        "resourceVersion": claim["metadata"]["resourceVersion"],
    }


def reserve(volume: ReadOnlyObject, claim: ReadOnlyObject) -> Object:
    """Return the volume as it is taken for a claim. One that somebody else kept for it stays theirs to free: it is
    not marked as our choice.
    """
    taken: Object = {**volume, "spec": {**volume["spec"], "claimRef": claim_reference(claim)}}
    if not volume["spec"].get("claimRef"):
        annotations = {**annotations_of(volume), BOUND_BY_CONTROLLER: "yes"}
        taken["metadata"] = {**volume["metadata"], "annotations": annotations}
    return taken


def allows_node(volume: ReadOnlyObject, node_name: str, node_labels: Mapping[str, str]) -> bool:
    """Whether a volume can be reached from a node."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return required is None or any(term.matches(node_name, node_labels) for term in read_node_selector(required))


def allows_topology(storage_class: ReadOnlyObject, node_labels: Mapping[str, str]) -> bool:
    """Whether a class may make volumes for a node of these labels."""
    terms = storage_class.get("allowedTopologies") or ()
    return not terms or any(
        all(
            node_labels.get(expression["key"]) in (expression.get("values") or ())
            for expression in term.get("matchLabelExpressions") or ()
        )
        for term in terms
    )


def misfit(volume: ReadOnlyObject, claim: ReadOnlyObject) -> str:
    """Say why a volume cannot serve the claim that names it; empty when it can."""
    if _capacity(volume) < requested_size(claim):
        return "requested PV is too small"
    if class_of_volume(volume) != class_of_claim(claim):
        return "storageClassName does not match"
    if volume_mode(volume) != volume_mode(claim):
        return "incompatible volumeMode"
    if not _offers_modes(volume, claim):
        return "incompatible accessMode"
    return ""


def find_matching_volume(
    claim: ReadOnlyObject,
    volumes: Iterable[ReadOnlyObject],
    *,
    node: tuple[str, Mapping[str, str]] | None = None,
    only_reserved: bool = False,
    taken: frozenset[str] = frozenset(),
) -> ReadOnlyObject | None:
    """Return the volume a claim should be bound to: one kept for it, else the smallest that is large enough.

    `node` (name and labels) leaves out volumes it cannot reach; a claim that one of these is kept for gets no other.
    Without a node, volumes that offer few access modes besides the wanted ones come first, whatever their size, as
    upstream's volume controller has it. With `only_reserved` nothing but a volume that is kept for the claim will do:
    the choice is still the scheduler's. `taken` are names of volumes promised to other claims.
    """
    selector = claim["spec"].get("selector")
    wanted = selector_from_object(selector) if selector else None
    best: ReadOnlyObject | None = None
    for volume in volumes:
        if name_of(volume) in taken or is_deleting(volume) or volume_mode(volume) != volume_mode(claim):
            continue
        if _capacity(volume) < requested_size(claim) or not _offers_modes(volume, claim):
            continue
        if _attributes_class(volume) != _attributes_class(claim):
            continue
        is_reachable = node is None or allows_node(volume, *node)
        if refers_to(volume, claim):
            return volume if is_reachable else None
        if not is_reachable:
            continue
        if only_reserved or volume["spec"].get("claimRef") or not _is_available(volume):
            continue
        if wanted is not None and not wanted.matches(labels_of(volume)):
            continue
        if class_of_volume(volume) != class_of_claim(claim):
            continue
        if best is None or _excess(volume, node) < _excess(best, node):
            best = volume
    return best


def _excess(volume: ReadOnlyObject, node: object) -> tuple[int, int]:
    """Sort key: how much more than need be a volume that will do may offer."""
    return (len(volume["spec"].get("accessModes") or ()) if node is None else 0, _capacity(volume))


def default_class(classes: Iterable[ReadOnlyObject]) -> ReadOnlyObject | None:
    """Return the newest StorageClass marked as default, by name among equals; None where none is."""
    marked = [one for one in classes if annotations_of(one).get(DEFAULT_CLASS) == "true"]
    marked.sort(key=name_of)
    return max(marked, key=lambda one: one["metadata"].get("creationTimestamp") or "", default=None)


def _is_available(volume: ReadOnlyObject) -> bool:
    return (volume.get("status") or {}).get("phase") == "Available"


def _capacity(volume: ReadOnlyObject) -> int:
    return parse_quantity(str((volume["spec"].get("capacity") or {}).get("storage", "0"))).nanos


def requested_size(claim: ReadOnlyObject) -> int:
    """Return how much storage a claim asks for, in billionths of a byte, to be compared exactly."""
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return parse_quantity(str(requests.get("storage", "0"))).nanos


def volume_mode(obj: ReadOnlyObject) -> str:
    """Return the mode of a volume or claim: `Filesystem` or `Block`."""
    return str(obj["spec"].get("volumeMode") or "Filesystem")


def _attributes_class(obj: ReadOnlyObject) -> str:
    return str(obj["spec"].get("volumeAttributesClassName") or "")


def _offers_modes(volume: ReadOnlyObject, claim: ReadOnlyObject) -> bool:
    return set(claim["spec"].get("accessModes") or ()) <= set(volume["spec"].get("accessModes") or ())
