"""Deletion: preconditions, graceful periods, finalizers and propagation, decided purely, then carried out.

Deleting is either at once, or an update that marks the object (deletionTimestamp) and leaves the rest to whoever holds
a finalizer or, for Pods, to the kubelet. The rules are those of upstream's registry.Store.Delete and rest.BeforeDelete.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from control.api.builtin_kinds import NAMESPACES
from control.api.errors import conflict
from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time, parse_time
from control.apiserver.options import DeleteOptions
from control.apiserver.registry.strategy import Strategy, WriteContext

ORPHAN_FINALIZER = "orphan"
FOREGROUND_FINALIZER = "foregroundDeletion"


@dataclass(frozen=True, slots=True)
class DeletionPlan:
    """What a delete does to an object: write `marked` (None: nothing to write), then remove it if `removes`."""

    marked: Object | None
    removes: bool


def check_preconditions(kind: Kind, obj: ReadOnlyObject, options: DeleteOptions) -> None:
    """Refuse a delete that was meant for another object or another state of it. Raises Conflict."""
    metadata = obj["metadata"]
    name, uid, version = metadata["name"], metadata.get("uid", ""), metadata.get("resourceVersion", "")
    if options.uid is not None and options.uid != uid:
        raise conflict(
            kind.group,
            kind.kind,
            name,
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid})."
            " The object might have been deleted and then recreated",
        )
    if options.resource_version is not None and options.resource_version != version:
        raise conflict(
            kind.group,
            kind.kind,
            name,
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the"
            f" ResourceVersion in record ({version}). The object might have been modified",
        )


def plan_deletion(
    kind: Kind, strategy: Strategy, context: WriteContext, obj: Object, options: DeleteOptions
) -> DeletionPlan:
    """Decide what a delete does. `obj` is a private copy that may become the marked object."""
    if kind.storage_prefix == NAMESPACES.storage_prefix:
        return _plan_namespace(obj, strategy, options, context.now)
    metadata = obj["metadata"]
    grace, is_pending = _begin_graceful(strategy, context, obj, options)
    if is_pending:
        return DeletionPlan(None, False)
    finalizers = finalizers_for(strategy, metadata.get("finalizers") or [], options)
    _set_finalizers(metadata, finalizers)
    if grace is None:
        if not finalizers:
            return DeletionPlan(None, True)
        mark_as_deleting(metadata, context.now)
        return DeletionPlan(obj, False)
    return DeletionPlan(obj, grace == 0 and not finalizers)


def _begin_graceful(
    strategy: Strategy, context: WriteContext, obj: Object, options: DeleteOptions
) -> tuple[int | None, bool]:
    """Mark an object that is deleted gracefully; returns (period or None, whether a running deletion stays)."""
    metadata = obj["metadata"]
    requested = options.grace_period_seconds
    if metadata.get("deletionTimestamp"):
        current = metadata.get("deletionGracePeriodSeconds")
        # A period of 0 is an earlier deletion that was interrupted between its mark and its removal: finish it.
        if not current or not _is_graceful(strategy):
            return None, False
        if requested is None or requested >= current:
            return None, True
        began = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=current)
        _set_deletion(metadata, began + timedelta(seconds=requested), requested)
        return requested, False
    period = strategy.begin_graceful_delete(context, obj, requested)
    if period is None:
        return None, False
    _set_deletion(metadata, context.now + timedelta(seconds=period), period)
    if metadata.get("generation"):
        metadata["generation"] += 1
    return period, False


def _is_graceful(strategy: Strategy) -> bool:
    return type(strategy).begin_graceful_delete is not Strategy.begin_graceful_delete


def _set_deletion(metadata: Object, moment: datetime, grace_period_seconds: int) -> None:
    metadata["deletionTimestamp"] = format_time(moment)
    metadata["deletionGracePeriodSeconds"] = grace_period_seconds


def _set_finalizers(metadata: Object, finalizers: list[str]) -> None:
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def finalizers_for(strategy: Strategy, present: list[str], options: DeleteOptions) -> list[str]:
    """The finalizers of an object being deleted: its own, and the garbage collector's as the options ask."""
    finalizers = [item for item in present if item not in (ORPHAN_FINALIZER, FOREGROUND_FINALIZER)]
    if _wants_orphans(strategy, present, options):
        finalizers.append(ORPHAN_FINALIZER)
    if _wants_foreground(strategy, present, options):
        finalizers.append(FOREGROUND_FINALIZER)
    return present if set(finalizers) == set(present) else finalizers


def _wants_orphans(strategy: Strategy, present: list[str], options: DeleteOptions) -> bool:
    if strategy.default_propagation == "unsupported":
        return False
    if options.orphan_dependents is not None:
        return options.orphan_dependents
    if options.propagation_policy is not None:
        return options.propagation_policy == "Orphan"
    if ORPHAN_FINALIZER in present:
        return True
    return FOREGROUND_FINALIZER not in present and strategy.default_propagation == "orphan"


def _wants_foreground(strategy: Strategy, present: list[str], options: DeleteOptions) -> bool:
    if strategy.default_propagation == "unsupported" or options.orphan_dependents is not None:
        return False
    if options.propagation_policy is not None:
        return options.propagation_policy == "Foreground"
    return ORPHAN_FINALIZER not in present and FOREGROUND_FINALIZER in present


def mark_as_deleting(metadata: Object, now: datetime) -> None:
    """Mark an object that waits for its finalizers."""
    if not metadata.get("deletionTimestamp") and metadata.get("generation"):
        metadata["generation"] += 1
    given = metadata.get("deletionTimestamp")
    if not given or parse_time(given) > now:
        metadata["deletionTimestamp"] = format_time(now)
    metadata["deletionGracePeriodSeconds"] = 0


def _plan_namespace(obj: Object, strategy: Strategy, options: DeleteOptions, now: datetime) -> DeletionPlan:
    """A namespace terminates first; it is removed when the namespace controller has emptied spec.finalizers."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = format_time(now)
        obj.setdefault("status", {})["phase"] = "Terminating"
        _set_finalizers(metadata, finalizers_for(strategy, metadata.get("finalizers") or [], options))
        return DeletionPlan(obj, False)
    if obj.get("spec", {}).get("finalizers"):
        return DeletionPlan(None, False)
    if metadata.get("finalizers"):
        return DeletionPlan(None, False)
    return DeletionPlan(None, True)


def is_deleted_by_update(kind: Kind, obj: ReadOnlyObject) -> bool:
    """Whether an updated object has nothing left that keeps it: it is marked and its last finalizer is gone."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if kind.storage_prefix == NAMESPACES.storage_prefix:
        return not (obj.get("spec") or {}).get("finalizers")
    return bool(metadata.get("deletionGracePeriodSeconds") == 0)
