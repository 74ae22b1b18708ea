"""Who belongs to whom: adoption by selector, release, and the owner's key of an object.

An object without a controller that matches the selector is adopted; one of ours that no longer matches is released.
Both are patches that name the object's uid, so that they never touch a successor of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from control.api.kinds import Kind
from control.api.meta import controller_of, is_deleting, labels_of, make_owner_reference, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.selectors import LabelSelector
from control.client.client import PatchType
from control.client.view import View
from control.client.writes import Patch

SelectorOf = Callable[[ReadOnlyObject], LabelSelector]


@dataclass(frozen=True, slots=True)
class Claim:
    """The objects an owner controls, and the patches that must come true first."""

    objects: list[Object]
    patches: list[Patch]


def claim_objects(owner: ReadOnlyObject, kind: Kind, selector: LabelSelector, view: View) -> Claim:
    """Sort the objects of a kind in the owner's namespace into kept, adopted and released ones."""
    owned: list[Object] = []
    patches: list[Patch] = []
    uid, is_going = uid_of(owner), is_deleting(owner)
    for obj in view.owned_by(kind, uid):
        controller = controller_of(obj)
        if controller is None or controller["uid"] != uid:
            continue
        if selector.matches(labels_of(obj)):
            owned.append(obj)
        elif not is_going and not is_deleting(obj):
            patches.append(_release(owner, kind, obj))
    if not is_going:
        for obj in view.uncontrolled(kind, owner["metadata"]["namespace"]):
            if not is_deleting(obj) and selector.matches(labels_of(obj)):
                patches.append(_adopt(owner, kind, obj))
    return Claim(owned, patches)


def controller_key(obj: ReadOnlyObject, kind: Kind) -> str | None:
    """Key of the controller of an object if it is of that kind, else None."""
    reference = controller_of(obj)
    if reference is None or reference["kind"] != kind.kind:
        return None
    if reference["apiVersion"].partition("/")[0] != kind.api_version.partition("/")[0]:
        return None
    return f"{obj['metadata']['namespace']}/{reference['name']}"


def matching_keys(obj: ReadOnlyObject, owners: Iterable[ReadOnlyObject], selector_of: SelectorOf) -> list[str]:
    """Keys of the owners whose selector matches an object without a controller: one of them may adopt it."""
    labels = labels_of(obj)
    return [
        f"{owner['metadata']['namespace']}/{owner['metadata']['name']}"
        for owner in owners
        if not (selector := selector_of(owner)).is_empty and selector.matches(labels)
    ]


def _adopt(owner: ReadOnlyObject, kind: Kind, obj: Object) -> Patch:
    cause = f"labels match the selector of {owner['kind']} {owner['metadata']['name']}"
    return _change_owners(kind, obj, make_owner_reference(owner), cause)


def _release(owner: ReadOnlyObject, kind: Kind, obj: Object) -> Patch:
    cause = f"labels no longer match the selector of {owner['kind']} {owner['metadata']['name']}"
    return _change_owners(kind, obj, {"$patch": "delete", "uid": uid_of(owner)}, cause)


def _change_owners(kind: Kind, obj: Object, change: Object, cause: str) -> Patch:
    return Patch(
        kind=kind,
        namespace=obj["metadata"]["namespace"],
        name=obj["metadata"]["name"],
        type=PatchType.STRATEGIC,
        patch={"metadata": {"ownerReferences": [change], "uid": uid_of(obj)}},
        cause=cause,
        ignore_missing=True,
    )
