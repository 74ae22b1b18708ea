"""What a write may demand of the object it finds: that it is still the one, and as, its client knows it."""

from __future__ import annotations

from control.api.errors import MODIFIED_DETAIL, ApiError, FieldError, conflict, invalid
from control.api.kinds import Kind
from control.api.objects import Object
from control.apiserver.registry.metadata import given_revision
from control.apiserver.registry.strategy import Strategy

#: Groups that upstream keeps below a folder of their own; the other built-in kinds are named by their plural alone.
_GROUPS_IN_KEYS = frozenset({"apiextensions.k8s.io", "apiregistration.k8s.io"})
_OLD_PREFIXES = {
    "endpoints": "services/endpoints",
    "ingresses": "ingress",
    "nodes": "minions",
    "replicationcontrollers": "controllers",
    "services": "services/specs",
}


def check_uid(kind: Kind, namespace: str, name: str, *, wanted: str, found: str, is_custom: bool = False) -> None:
    """Refuse a PUT that was meant for another object of this name. `found` is empty if there is none."""
    if wanted and wanted != found:
        raise conflict(
            kind.group,
            kind.plural,
            name,
            f"StorageError: invalid object, Code: 4, Key: {_upstream_key(kind, namespace, name, is_custom=is_custom)},"
            f" ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted},"
            f" UID in object meta: {found}",
        )


def check_revision(kind: Kind, strategy: Strategy, obj: Object, found: int) -> None:
    """Refuse an update of an older state than that of revision `found`, which an update of any state is given.

    Raises 409, 422 where a kind lets nobody overwrite what they have not read, 500 for what is no resourceVersion.
    """
    metadata = obj["metadata"]
    try:
        given = given_revision(obj)
    except ValueError as error:
        raise ApiError(500, "", str(error)) from None
    if given == 0:
        if not strategy.allow_unconditional_update:
            missing = FieldError.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(kind.group, kind.plural, metadata["name"], [missing])
        metadata["resourceVersion"] = str(found)
    elif given != found:
        raise conflict(kind.group, kind.plural, metadata["name"], MODIFIED_DETAIL)


def refuse_uid_of_new_object(kind: Kind, name: str, uid: str) -> None:
    """Refuse a patch that would make an object but says which one it is about."""
    if uid:
        detail = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise conflict(kind.group, kind.plural, name, detail)


def _upstream_key(kind: Kind, namespace: str, name: str, *, is_custom: bool) -> str:
    """The key that upstream's message names."""
    prefix = _OLD_PREFIXES.get(kind.plural, kind.plural)
    if is_custom or kind.group in _GROUPS_IN_KEYS:
        prefix = f"{kind.group}/{kind.plural}"
    return "/".join(["/registry", prefix, *([namespace] if kind.namespaced else []), name])
