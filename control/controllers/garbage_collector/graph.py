"""The owner graph: every object's uid, its owners and its dependents. Informer events build it; nothing else does.

It is only as new as the informers. So an owner that is not in it is not thereby gone: whoever wants to delete for an
absent owner asks the server first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from control.api.kinds import Kind
from control.api.meta import owner_references_of, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.records import record

FOREGROUND_FINALIZER = "foregroundDeletion"
ORPHAN_FINALIZER = "orphan"


@record(frozen=True, slots=True)
class Node:
    """An object as the collector sees it."""

    kind: Kind
    metadata: Mapping[str, Any]

    @property
    def uid(self) -> str:
        """metadata.uid."""
        return str(self.metadata["uid"])

    @property
    def owners(self) -> Sequence[Mapping[str, Any]]:
        """metadata.ownerReferences."""
        return owner_references_of({"metadata": self.metadata})

    @property
    def finalizers(self) -> Sequence[str]:
        """metadata.finalizers."""
        return self.metadata.get("finalizers") or ()

    @property
    def is_deleting(self) -> bool:
        """Whether it is marked for deletion."""
        return bool(self.metadata.get("deletionTimestamp"))

    @property
    def is_deleting_dependents(self) -> bool:
        """Whether it goes in the foreground: after its dependents."""
        return self.is_deleting and FOREGROUND_FINALIZER in self.finalizers

    @property
    def is_orphaning(self) -> bool:
        """Whether its dependents are to stay behind."""
        return self.is_deleting and ORPHAN_FINALIZER in self.finalizers

    def blocks(self, owner_uid: str) -> bool:
        """Whether this object holds up the foreground deletion of that owner."""
        return any(item["uid"] == owner_uid and item.get("blockOwnerDeletion") for item in self.owners)


class Graph:
    """Nodes by uid, and dependents by owner uid (also of owners not seen)."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}

    def find(self, uid: str) -> Node | None:
        """Return the node of a uid, or None."""
        return self._nodes.get(uid)

    def dependents(self, uid: str) -> list[Node]:
        """Return the objects that name this uid as an owner."""
        return [self._nodes[item] for item in sorted(self._dependents.get(uid, ()))]

    def apply(self, kind: Kind, old: Object | None, new: Object | None) -> set[str]:
        """Take in one change and return the uids whose situation it may have changed."""
        if new is None:
            return self._remove(old) if old is not None else set()
        uid = uid_of(new)
        before = self._nodes.get(uid)
        node = Node(kind, new["metadata"])
        self._nodes[uid] = node
        owners_before = before.owners if before is not None else ()
        self._link(uid, owners_before, node.owners)
        if before is None:
            affected = {uid} if node.owners or node.is_deleting else set()
        elif _situation(before) == _situation(node):
            affected = set()
        else:
            affected = {uid}
            affected.update(self._waiting_owners(owners_before))
        if node.is_deleting_dependents and (before is None or not before.is_deleting_dependents):
            affected.update(self._dependents.get(uid, ()))
            affected.update(self._waiting_owners(node.owners))
        return affected

    def _remove(self, old: ReadOnlyObject) -> set[str]:
        uid = uid_of(old)
        node = self._nodes.pop(uid, None)
        owners = node.owners if node is not None else owner_references_of(old)
        self._link(uid, owners, ())
        return set(self._dependents.get(uid, ())) | self._waiting_owners(owners)

    def _link(self, uid: str, before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> None:
        wanted = {item["uid"] for item in after}
        for owner_uid in {item["uid"] for item in before} - wanted:
            dependents = self._dependents.get(owner_uid)
            if dependents is not None:
                dependents.discard(uid)
                if not dependents:
                    del self._dependents[owner_uid]
        for owner_uid in wanted:
            self._dependents.setdefault(owner_uid, set()).add(uid)

    def _waiting_owners(self, owners: Iterable[Mapping[str, Any]]) -> set[str]:
        waiting = (self._nodes.get(item["uid"]) for item in owners)
        return {node.uid for node in waiting if node is not None and node.is_deleting}


def _situation(node: Node) -> tuple[Any, ...]:
    return (node.owners, node.finalizers, node.is_deleting)
