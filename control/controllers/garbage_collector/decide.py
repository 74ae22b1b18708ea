"""What becomes of one object: nothing, deletion, fewer owner references, or one finalizer less. Pure.

Upstream's rules: an object goes when its last owner is gone; one with an owner left only loses the references to those
that are gone; dependents of an owner that waits for them go in the foreground themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from control.client.client import PatchType
from control.client.writes import Delete, Patch, Write
from control.controllers.garbage_collector.graph import FOREGROUND_FINALIZER, ORPHAN_FINALIZER, Node


class OwnerState(Enum):
    """What is known of an owner."""

    SOLID = "solid"
    WAITING = "waiting for its dependents to go"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Writes in order, and the uids to look at next."""

    writes: Sequence[Write] = ()
    look_at: Sequence[str] = field(default_factory=tuple)


def decide_deleting_dependents(node: Node, dependents: Sequence[Node]) -> Verdict:
    """An object in foreground deletion goes when nothing that blocks it is left."""
    blocking = [item for item in dependents if item.blocks(node.uid)]
    if blocking:
        return Verdict(look_at=[item.uid for item in blocking if not item.is_deleting])
    return Verdict([_without_finalizer(node, FOREGROUND_FINALIZER, "no dependent blocks its deletion")])


def decide_orphaning(node: Node, dependents: Sequence[Node]) -> Verdict:
    """An object whose dependents stay first lets go of them."""
    released = [_without_owners(item, [node.uid], f"its owner {_title(node)} orphans it") for item in dependents]
    return Verdict([*released, _without_finalizer(node, ORPHAN_FINALIZER, "its dependents are released")])


def decide_by_owners(node: Node, states: Mapping[str, OwnerState], dependents: Sequence[Node]) -> Verdict:
    """An object that is not being deleted, judged by the state of each of its owners."""
    by_state: dict[OwnerState, list[str]] = {state: [] for state in OwnerState}
    for reference in node.owners:
        by_state[states[reference["uid"]]].append(reference["uid"])
    gone = by_state[OwnerState.ABSENT] + by_state[OwnerState.WAITING]
    if not gone:
        return Verdict()
    if by_state[OwnerState.SOLID]:
        return Verdict([_without_owners(node, gone, "some of its owners are gone")])
    writes: list[Write] = []
    if by_state[OwnerState.WAITING] and dependents:
        if any(item.is_deleting_dependents for item in dependents):
            # The dependents wait for us and we for them: let go of our owner, which then needs not wait.
            writes.append(_unblocked(node))
        writes.append(_delete(node, "Foreground", "its owner waits for its dependents to go"))
    elif ORPHAN_FINALIZER in node.finalizers:
        writes.append(_delete(node, "Orphan", "its owners are gone"))
    elif FOREGROUND_FINALIZER in node.finalizers:
        writes.append(_delete(node, "Foreground", "its owners are gone"))
    else:
        writes.append(_delete(node, "Background", "its owners are gone"))
    return Verdict(writes)


def _title(node: Node) -> str:
    return f"{node.kind.kind} {node.metadata['name']}"


def _delete(node: Node, propagation: str, cause: str) -> Delete:
    return Delete(
        kind=node.kind,
        namespace=node.metadata.get("namespace"),
        name=node.metadata["name"],
        uid=node.uid,
        # The owners judged are those of this version; with others the judgement does not hold.
        resource_version=node.metadata["resourceVersion"],
        propagation=propagation,
        cause=cause,
    )


def _patch(node: Node, metadata: Mapping[str, Any], cause: str) -> Patch:
    return Patch(
        kind=node.kind,
        namespace=node.metadata.get("namespace"),
        name=node.metadata["name"],
        type=PatchType.MERGE,
        patch={"metadata": {"resourceVersion": node.metadata["resourceVersion"], "uid": node.uid, **metadata}},
        ignore_missing=True,
        cause=cause,
    )


def _without_owners(node: Node, owner_uids: Sequence[str], cause: str) -> Patch:
    kept = [dict(item) for item in node.owners if item["uid"] not in owner_uids]
    return _patch(node, {"ownerReferences": kept or None}, cause)


def _unblocked(node: Node) -> Patch:
    references = [{**item, "blockOwnerDeletion": False} for item in node.owners]
    return _patch(node, {"ownerReferences": references}, "it and its dependents wait for each other")


def _without_finalizer(node: Node, finalizer: str, cause: str) -> Patch:
    return _patch(node, {"finalizers": [item for item in node.finalizers if item != finalizer] or None}, cause)
