"""`StorageView`: claims, volumes and classes as the scheduler sees them, with the volumes it has promised already.

Like a place on a node, a volume is taken the moment it is chosen: the write that says so is still under way when the
next Pod is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from control.api.kinds import Kind
from control.api.meta import annotations_of, name_of, object_key, uid_of
from control.api.objects import ReadOnlyObject
from control.api.volumes import (
    NO_PROVISIONER,
    SELECTED_NODE,
    allows_node,
    allows_topology,
    binds_late,
    class_of_claim,
    find_matching_volume,
    is_claim_bound,
    lacks_phase,
    requested_size,
)
from control.scheduler.prepared import PreparedNode

NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind"
VOLUME_MISSING = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePlan:
    """What must be written before a Pod can be bound to a node: volumes for claims, and claims to be provisioned.

    `nearly_bound` are claims that others are about to finish.
    """

    bindings: tuple[tuple[ReadOnlyObject, ReadOnlyObject], ...] = ()
    provisions: tuple[ReadOnlyObject, ...] = ()
    nearly_bound: tuple[ReadOnlyObject, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether all claims are bound already."""
        return not self.bindings and not self.provisions and not self.nearly_bound


class StorageView:
    """The stores of claims, volumes and classes."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, ReadOnlyObject]] = {}
        self._promises: dict[str, tuple[VolumePlan, str]] = {}

    def put(self, kind: Kind, obj: ReadOnlyObject) -> None:
        """Note an object."""
        self._objects.setdefault(kind.plural, {})[object_key(obj)] = obj

    def remove(self, kind: Kind, obj: ReadOnlyObject) -> None:
        """Forget an object."""
        self._objects.get(kind.plural, {}).pop(object_key(obj), None)

    def find_claim(self, key: str) -> ReadOnlyObject | None:
        """Return a PersistentVolumeClaim by its key (`namespace/name`), or None."""
        return self._objects.get("persistentvolumeclaims", {}).get(key)

    def find_volume(self, name: str) -> ReadOnlyObject | None:
        """Return a PersistentVolume, or None."""
        return self._objects.get("persistentvolumes", {}).get(name)

    def binds_late(self, claim: ReadOnlyObject) -> bool:
        """Whether a claim is bound only when its first Pod has a node."""
        return binds_late(self._class_of(claim))

    def promise(self, pod_uid: str, plan: VolumePlan, node_name: str) -> None:
        """Take what a plan needs for a Pod until `release`."""
        if not plan.is_empty:
            self._promises[pod_uid] = (plan, node_name)

    def release(self, pod_uid: str) -> None:
        """Give back what was promised to a Pod; by now it is written, or it was not to be."""
        self._promises.pop(pod_uid, None)

    def plan(self, claims: Iterable[ReadOnlyObject], node: PreparedNode) -> VolumePlan | str:
        """Plan the volumes of a Pod's claims on a node, or return why the node cannot have them."""
        bindings: list[tuple[ReadOnlyObject, ReadOnlyObject]] = []
        provisions: list[ReadOnlyObject] = []
        taken, selected = self._promised()
        unbound, nearly_bound = [], []
        for claim in claims:
            if not is_claim_bound(claim):
                unbound.append(claim)
                continue
            volume = self.find_volume(str(claim["spec"]["volumeName"]))
            if volume is None:
                return VOLUME_MISSING
            if not allows_node(volume, node.name, node.labels):
                return NODE_CONFLICT
            if lacks_phase(claim):
                nearly_bound.append(claim)
        for claim in sorted(unbound, key=_smallest_first):
            chosen = annotations_of(claim).get(SELECTED_NODE) or selected.get(uid_of(claim))
            if chosen:
                if chosen != node.name:
                    return BIND_CONFLICT
                provisions.append(claim)
                continue
            volume = find_matching_volume(
                claim,
                self._objects.get("persistentvolumes", {}).values(),
                node=(node.name, node.labels),
                taken=frozenset(taken),
            )
            if volume is not None:
                bindings.append((claim, volume))
                taken.add(name_of(volume))
            elif self._can_provision(claim, node):
                provisions.append(claim)
            else:
                return BIND_CONFLICT
        return VolumePlan(bindings=tuple(bindings), provisions=tuple(provisions), nearly_bound=tuple(nearly_bound))

    def _can_provision(self, claim: ReadOnlyObject, node: PreparedNode) -> bool:
        storage_class = self._class_of(claim)
        if storage_class is None or storage_class.get("provisioner") in (None, "", NO_PROVISIONER):
            return False
        return allows_topology(storage_class, node.labels)

    def _class_of(self, claim: ReadOnlyObject) -> ReadOnlyObject | None:
        return self._objects.get("storageclasses", {}).get(class_of_claim(claim))

    def _promised(self) -> tuple[set[str], dict[str, str]]:
        """Names of volumes that are promised, and the nodes chosen for claims that are to be provisioned."""
        taken = {name_of(volume) for plan, _ in self._promises.values() for _, volume in plan.bindings}
        selected = {uid_of(claim): node for plan, node in self._promises.values() for claim in plan.provisions}
        return taken, selected


def _smallest_first(claim: ReadOnlyObject) -> tuple[int, str]:
    """A claim that asks for little must not take the one volume that a larger one needs."""
    return (requested_size(claim), object_key(claim))
