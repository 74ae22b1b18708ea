"""What the verb handlers share: a write request of a context, and the answer of a write."""

from __future__ import annotations

from control.api.exchange import ApiResponse
from control.apiserver.options import WriteOptions
from control.apiserver.registry.resource_store import ResourceStore, Written
from control.apiserver.registry.write_request import WriteRequest
from control.apiserver.representation import object_response
from control.apiserver.request_context import RequestContext


def write_request(context: RequestContext, options: WriteOptions) -> WriteRequest:
    """Describe the write a request asks for."""
    info = context.info
    return WriteRequest(
        user=context.user,
        now=context.now,
        options=options,
        warn=context.warn,
        namespace=info.namespace,
        name=info.name if info.has_name_in_path else "",
        subresource=info.subresource,
        profile=context.profile,
    )


def written_response(context: RequestContext, store: ResourceStore, written: Written) -> ApiResponse:
    """Answer a create, update or patch."""
    status = 201 if written.is_created else 200
    return object_response(context, store.served, obj=written.object, cached=written.cached, status=status)
