"""nodes/proxy, pods/proxy and services/proxy: HTTP through the API server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import quote

from control.api.addresses import is_global_unicast
from control.api.builtin_kinds import ENDPOINTS, PODS
from control.api.errors import ApiError, bad_request
from control.api.errors import quote as quote_go
from control.api.exchange import ApiResponse
from control.api.names import port_number_errors
from control.api.objects import ReadOnlyObject
from control.apiserver.node_proxy import NodeUnreachableError, Target, encode_query, node_address, upgrade_headers
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.registry.subresources.node_failure import unreachable_service
from control.apiserver.registry.subresources.proxy_rewriting import is_rewritable_page, rewrite_page, rewrite_redirect
from control.apiserver.registry.subresources.server_parts import ServerParts
from control.apiserver.registry.subresources.service_endpoint import choose_endpoint
from control.apiserver.request_context import RequestContext


async def proxy(context: RequestContext, store: ResourceStore, parts: ServerParts) -> ApiResponse:
    """Pass a request on to a node's agent, a Pod's port or a Service's endpoint."""
    scheme, name, port = _split_name(context.info.name, store.kind.kind)
    obj = store.get(context.info.namespace, name).object
    target = await _find_target(parts, store.kind.plural, obj, scheme, port)
    request = context.request
    query = encode_query(list(request.query))
    if _lacks_slash(context):
        return ApiResponse(status=301, headers=[("Location", f"{request.path}/{query}")], body=b"")
    target = replace(target, path=quote(request.path.removeprefix(_prefix(context)) or "/") + query)
    body = request.body if isinstance(request.body, bytes) else b""
    headers = upgrade_headers((name, value) for name, value in request.headers.items())
    try:
        answer = await parts.node_proxy.forward(target, method=request.method, headers=headers, body=body)
    except NodeUnreachableError as error:
        raise unreachable_service(error) from error
    return await _lead_back(answer, context, target)


def _prefix(context: RequestContext) -> str:
    """The path of the proxy itself; what follows is the target's."""
    path, rest = context.request.path, context.info.rest
    return path.rstrip("/").removesuffix(rest).rstrip("/") if rest else path.rstrip("/")


def _lacks_slash(context: RequestContext) -> bool:
    """Whether relative links of the page that is asked for would miss the proxy."""
    request = context.request
    is_root = not context.info.rest and not request.path.endswith("/")
    return is_root and request.method in ("GET", "HEAD") and "upgrade" not in request.headers


async def _lead_back(answer: ApiResponse, context: RequestContext, target: Target) -> ApiResponse:
    """Let links and redirects of the answer lead through the proxy too."""
    request = context.request
    prefix = _prefix(context)
    hosts = (f"{target.host}:{target.port}", request.headers.get("host", ""))
    answer.headers = rewrite_redirect(answer.headers, prefix, hosts)
    if answer.stream is None or request.method == "HEAD" or not is_rewritable_page(answer.headers):
        return answer
    page = b"".join([chunk async for chunk in answer.stream])
    return ApiResponse(
        status=answer.status, headers=answer.headers, body=rewrite_page(page, answer.headers, prefix, hosts)
    )


def _split_name(name: str, kind: str) -> tuple[str, str, str]:
    """Split `[scheme:]name[:port]`. Raises 400 for anything else."""
    parts = name.split(":")
    if len(parts) < 3:
        parts = ["", *parts, ""][:3]
    if len(parts) != 3 or not parts[1] or parts[0] not in ("", "http", "https"):
        raise bad_request(f"invalid {kind.lower()} request {quote_go(name)}")
    scheme, own_name, port = parts
    return scheme, own_name, port


async def _find_target(parts: ServerParts, plural: str, obj: ReadOnlyObject, scheme: str, port: str) -> Target:
    """Where the object is reached. Only a node's agent has a certificate that can be verified."""
    if plural == "nodes":
        target = node_target(obj, scheme, port)
        _check_all(await _resolve(target.host))
        return target
    host, number = _pod_address(obj, port) if plural == "pods" else _service_address(parts, obj, port)
    return Target(host=host, port=number, path="/", uses_tls=scheme == "https", verifies_tls=False)


def node_target(node: ReadOnlyObject, scheme: str, port: str) -> Target:
    """The node's agent, or what else listens there on the port."""
    host, agent_port = node_address(node)
    if port in ("", str(agent_port)):
        return Target(host=host, port=agent_port, path="/")
    return Target(host=host, port=_number(port), path="/", uses_tls=scheme == "https", verifies_tls=False)


async def _resolve(host: str) -> list[str]:
    """The addresses of a name, or the address itself. Raises 400."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise bad_request(f"lookup {host}: {error.strerror or error}") from error
    return [str(address[0]) for *_, address in found]


def _check_all(addresses: Iterable[str]) -> None:
    """Who may write a status must not send the API server to the host's own services. Raises 400."""
    if not all(is_global_unicast(address) for address in addresses):
        raise bad_request("address not allowed")


def _pod_address(pod: ReadOnlyObject, port: str) -> tuple[str, int]:
    address: str = (pod.get("status") or {}).get("podIP") or ""
    _check_all([address])
    containers = pod["spec"].get("containers") or ()
    for container in containers:
        for entry in container.get("ports") or ():
            if not port or entry.get("name") == port:
                return address, entry["containerPort"]
    return address, _number(port) if port else 80


def _service_address(parts: ServerParts, service: ReadOnlyObject, port: str) -> tuple[str, int]:
    metadata = service["metadata"]
    named = {str(item["port"]): item.get("name", "") for item in service["spec"].get("ports") or ()}
    if port.isdigit() and port not in named:
        raise ApiError(503, "ServiceUnavailable", f'no service port {int(port)} found for service "{metadata["name"]}"')
    namespace, name = metadata["namespace"], metadata["name"]
    endpoints = parts.registry.find(ENDPOINTS, namespace, name)
    if endpoints is not None:
        chosen = choose_endpoint(
            endpoints,
            named.get(port, port),
            find_pod=lambda pod_name: parts.registry.find(PODS, namespace, pod_name),
            random=parts.random,
        )
        if chosen is not None:
            return chosen
    raise ApiError(503, "ServiceUnavailable", f'no endpoints available for service "{name}"', details=None)


def _number(port: str) -> int:
    if not (port.isascii() and port.isdigit()) or port_number_errors(int(port)):
        raise bad_request(f'invalid port "{port}"')
    return int(port)
