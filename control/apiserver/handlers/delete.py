"""DELETE of one object."""

from __future__ import annotations

from control.api.builtin_kinds import JOBS
from control.api.exchange import ApiResponse
from control.api.objects import Object
from control.apiserver.handlers.responding import write_request
from control.apiserver.options import DeleteOptions, WriteOptions, read_delete_options
from control.apiserver.registry.delete_object import Deleted, delete_object
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.representation import object_response, value_response
from control.apiserver.request_body import parse_delete_options
from control.apiserver.request_context import RequestContext

_JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them"
    " or set propagationPolicy=Orphan to suppress this warning"
)


async def delete(context: RequestContext, store: ResourceStore) -> ApiResponse:
    """Delete an object, or mark it for deletion."""
    options = read_delete_options(context, parse_delete_options(context))
    warn_of_orphans(context, store, options)
    write = write_request(context, delete_write_options(options))
    deleted = await delete_object(store, write, options)
    if deleted.is_gone and not store.strategy.returns_deleted_object:
        return value_response(context, _success(store, deleted))
    # Upstream tells that a deletion goes on to those alone who ask for it in the old way.
    status = 202 if not deleted.is_gone and options.orphan_dependents is False else 200
    return object_response(context, store.served, obj=deleted.object, status=status)


def warn_of_orphans(context: RequestContext, store: ResourceStore, options: DeleteOptions) -> None:
    """Tell a client that deletes a Job without saying what becomes of its Pods."""
    says_nothing = options.propagation_policy is None and options.orphan_dependents is None
    if says_nothing and store.kind.storage_prefix == JOBS.storage_prefix:
        context.warn(_JOB_WARNING)


def delete_write_options(options: DeleteOptions) -> WriteOptions:
    """The options of the writes a deletion makes."""
    return WriteOptions(dry_run=options.dry_run, field_manager="")


def _success(store: ResourceStore, deleted: Deleted) -> Object:
    kind, metadata = store.kind, deleted.object["metadata"]
    details: Object = {"name": metadata["name"]}
    if kind.group:
        details["group"] = kind.group
    details["kind"] = kind.plural
    details["uid"] = metadata.get("uid", "")
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
