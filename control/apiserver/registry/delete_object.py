"""Carries out deletions that `deletion.py` decides, inside the compare-and-swap loop."""

from __future__ import annotations

from control.api.objects import Object, ReadOnlyObject
from control.apiserver.cache.encoding import CachedObject
from control.apiserver.options import DeleteOptions
from control.apiserver.registry.deletion import check_preconditions, plan_deletion
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.registry.write_request import WriteRequest
from control.storage.protocol import KeyNotFoundError, RevisionConflictError


class Deleted:
    """The answer of a delete: `object` is the last or the marked state; `is_gone` tells which."""

    __slots__ = ("is_gone", "object")

    def __init__(self, obj: ReadOnlyObject, *, is_gone: bool) -> None:
        self.object = obj
        self.is_gone = is_gone


async def delete_object(store: ResourceStore, write: WriteRequest, options: DeleteOptions) -> Deleted:
    """Delete the object the request names. Raises 404, 409 (preconditions) and what admission refuses."""
    while True:
        cached = store.get(write.namespace, write.name)
        try:
            return await _delete_once(store, write, options, cached)
        except RevisionConflictError:
            continue
        except KeyNotFoundError:
            raise store.served.not_found(write.name) from None


async def _delete_once(
    store: ResourceStore, write: WriteRequest, options: DeleteOptions, cached: CachedObject
) -> Deleted:
    served = store.served
    check_preconditions(store.kind, cached.object, options)
    attributes = store.attributes(write, "DELETE", None, served.object_of(cached))
    attributes.options = options.to_object()
    await store.admit(write, attributes)
    await store.judge(write, attributes)
    plan = plan_deletion(store.kind, store.strategy, write.for_strategy(), cached.decode_copy(), options)
    if plan.marked is None and not plan.removes:
        return Deleted(served.object_of(cached), is_gone=False)
    if options.dry_run:
        shown = plan.marked if plan.marked is not None else cached.decode_copy()
        return Deleted(served.from_stored(shown), is_gone=plan.removes)
    if plan.marked is not None and plan.marked != cached.object:
        cached = await _write_marked(store, plan.marked, cached)
    if not plan.removes:
        return Deleted(served.object_of(cached), is_gone=False)
    revision = await store.storage.delete(cached.key, expected_revision=cached.revision)
    last = cached.at_revision(revision)
    served.release(last.object)
    return Deleted(served.object_of(last), is_gone=True)


async def _write_marked(store: ResourceStore, marked: Object, cached: CachedObject) -> CachedObject:
    encoded = store.served.encode(marked)
    revision = await store.storage.update(cached.key, encoded, expected_revision=cached.revision)
    return CachedObject(cached.key, encoded, revision)
