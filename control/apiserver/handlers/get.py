"""GET of one object."""

from __future__ import annotations

from control.api.errors import ApiError
from control.api.exchange import ApiResponse
from control.apiserver.options import parse_resource_version, too_large_resource_version
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.representation import object_response
from control.apiserver.request_context import RequestContext


async def get(context: RequestContext, store: ResourceStore) -> ApiResponse:
    """Return the present object. A resourceVersion is only a lower bound, and the cache is never behind."""
    version = context.query("resourceVersion") if context.request.query else ""
    if version and version != "0":
        try:
            requested = parse_resource_version(version) or 0
        except ValueError as error:
            raise ApiError(500, "", str(error)) from error
        if requested > store.storage.revision:
            raise too_large_resource_version(requested, store.storage.revision)
    cached = store.get(context.info.namespace, context.info.name)
    return object_response(context, store.served, cached=cached)
