"""Which handler answers which subresource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from control.api.exchange import ApiResponse
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.registry.subresources.binding import binding
from control.apiserver.registry.subresources.eviction import eviction
from control.apiserver.registry.subresources.http_proxy import proxy
from control.apiserver.registry.subresources.pod_streams import exec_or_attach, log, port_forward
from control.apiserver.registry.subresources.scale import scale
from control.apiserver.registry.subresources.server_parts import ServerParts
from control.apiserver.registry.subresources.status import part, status
from control.apiserver.registry.subresources.token import token
from control.apiserver.request_context import RequestContext

SubresourceHandler = Callable[[RequestContext, ResourceStore, ServerParts], Awaitable[ApiResponse]]

SUBRESOURCE_HANDLERS: Mapping[str, SubresourceHandler] = {
    "approval": status,
    "attach": exec_or_attach,
    "binding": binding,
    "ephemeralcontainers": part,
    "eviction": eviction,
    "exec": exec_or_attach,
    "finalize": part,
    "log": log,
    "portforward": port_forward,
    "proxy": proxy,
    "resize": part,
    "scale": scale,
    "status": status,
    "token": token,
}
