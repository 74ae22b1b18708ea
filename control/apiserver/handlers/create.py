"""POST to a collection."""

from __future__ import annotations

from control.api.exchange import ApiResponse
from control.apiserver.handlers.responding import write_request, written_response
from control.apiserver.options import read_write_options
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.request_body import parse_body
from control.apiserver.request_context import RequestContext


async def create(context: RequestContext, store: ResourceStore) -> ApiResponse:
    """Create an object."""
    options = read_write_options(context, "CreateOptions")
    parsed = parse_body(context, store.served.body_kind)
    obj = store.served.decode(parsed, field_validation=options.field_validation, warn=context.warn)
    written = await store.create(write_request(context, options), obj)
    return written_response(context, store, written)
