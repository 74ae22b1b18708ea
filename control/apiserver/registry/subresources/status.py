"""/status and the other subresources that show the object itself and let a part of it change."""

from __future__ import annotations

from control.api.exchange import ApiResponse
from control.apiserver.handlers.get import get
from control.apiserver.handlers.patch import patch
from control.apiserver.handlers.update import update
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.registry.subresources.server_parts import ServerParts
from control.apiserver.request_context import RequestContext


async def status(context: RequestContext, store: ResourceStore, parts: ServerParts) -> ApiResponse:
    """Read the object, or write its status only (also `approval` of a CertificateSigningRequest)."""
    match context.info.verb:
        case "get":
            return await get(context, store)
        case "update":
            return await update(context, store, is_status=True)
        case _:
            return await patch(context, store, is_status=True)


async def part(context: RequestContext, store: ResourceStore, parts: ServerParts) -> ApiResponse:
    """Read the object, or write the part that the strategy allows for this subresource (resize, finalize, ...)."""
    match context.info.verb:
        case "get":
            return await get(context, store)
        case "update":
            return await update(context, store)
        case _:
            return await patch(context, store)
