"""pods/log, exec, attach and portforward: checked here, answered by the agent of the Pod's node."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from control.api.builtin_kinds import NODES
from control.api.errors import FieldError, bad_request, invalid
from control.api.exchange import ApiResponse
from control.api.objects import ReadOnlyObject
from control.apiserver.node_proxy import (
    NodeUnreachableError,
    Target,
    encode_query,
    node_address,
    node_not_found,
    upgrade_headers,
)
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.registry.subresources.node_failure import require_success, unreachable_log
from control.apiserver.registry.subresources.pod_container import choose_container
from control.apiserver.registry.subresources.server_parts import ServerParts
from control.apiserver.request_context import RequestContext
from control.apiserver.websocket_stream import is_websocket_request, websocket_response

Query = list[tuple[str, str]]

_LOG_FLAGS = ("follow", "previous", "timestamps")
_LOG_NUMBERS = ("tailLines", "limitBytes", "sinceSeconds")
ALL_STREAMS = "All"
_LOG_STREAMS = (ALL_STREAMS, "Stderr", "Stdout")
_STREAM_FLAGS = ("stdin", "stdout", "stderr", "tty")


async def log(context: RequestContext, store: ResourceStore, parts: ServerParts) -> ApiResponse:
    """Stream a container's log. A Pod without a node has none yet: 204."""
    query = _log_query(context)
    pod = store.get(context.info.namespace, context.info.name).object
    container = choose_container(pod, context.query("container"))
    if not pod["spec"].get("nodeName"):
        return ApiResponse(status=204, body=b"")
    target = _agent(parts, pod, f"containerLogs/{_pod_path(pod)}/{quote(container)}", query)
    if context.flag("insecureSkipTLSVerifyBackend"):
        target = replace(target, verifies_tls=False)
    try:
        answer = await parts.node_proxy.forward(target, method="GET")
    except NodeUnreachableError as error:
        raise unreachable_log(error) from error
    response = await require_success(answer, "pods/log", context.info.name)
    if response.stream is not None and is_websocket_request(context.request.headers):
        return websocket_response(context.request.headers, response.stream)
    if not any(name.lower() == "content-type" for name, _ in response.headers):
        response.headers.append(("Content-Type", "text/plain"))
    return response


def _log_query(context: RequestContext) -> Query:
    query: Query = []
    errors = []
    for name in _LOG_FLAGS:
        if context.flag(name):
            query.append((name, "true"))
    for name in _LOG_NUMBERS:
        if text := context.query(name):
            number = _integer(text)
            minimum = 0 if name == "tailLines" else 1
            if number < minimum:
                detail = "must be greater than or equal to 0" if minimum == 0 else "must be greater than 0"
                errors.append(FieldError.invalid(name, number, detail))
            query.append((name, text))
    if since := context.query("sinceTime"):
        if context.query("sinceSeconds"):
            detail = "at most one of `sinceTime` or `sinceSeconds` may be specified"
            errors.append(FieldError.forbidden("[]", detail))
        query.append(("sinceTime", since))
    if stream := context.query("stream"):
        if stream not in _LOG_STREAMS:
            errors.append(FieldError.not_supported("stream", stream, _LOG_STREAMS))
        if stream != ALL_STREAMS and context.query("tailLines"):
            detail = "`tailLines` and specific `stream` are mutually exclusive for now"
            errors.append(FieldError.forbidden("[]", detail))
        query.append(("stream", stream))
    if errors:
        raise invalid("", "PodLogOptions", context.info.name, errors)
    return query


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


async def exec_or_attach(context: RequestContext, store: ResourceStore, parts: ServerParts) -> ApiResponse:
    """Connect to a process in a container."""
    pod = store.get(context.info.namespace, context.info.name).object
    container = choose_container(pod, context.query("container"))
    _require_node(pod)
    # The kubelet's names of the streams differ from the API's.
    kubelet_names = {"stdin": "input", "stdout": "output", "stderr": "error"}
    query: Query = [(kubelet_names.get(name, name), "1") for name in _STREAM_FLAGS if context.flag(name)]
    if context.info.subresource == "exec":
        query += [("command", value) for value in context.query_all("command")]
    path = f"{context.info.subresource}/{_pod_path(pod)}/{quote(container)}"
    return await _connect(context, parts, _agent(parts, pod, path, query))


async def port_forward(context: RequestContext, store: ResourceStore, parts: ServerParts) -> ApiResponse:
    """Connect to ports of a Pod."""
    pod = store.get(context.info.namespace, context.info.name).object
    _require_node(pod)
    query = [("port", value) for value in context.query_all("ports")]
    return await _connect(context, parts, _agent(parts, pod, f"portForward/{_pod_path(pod)}", query))


async def _connect(context: RequestContext, parts: ServerParts, target: Target) -> ApiResponse:
    if "upgrade" not in context.request.headers:
        raise bad_request("Upgrade request required")
    headers = upgrade_headers(context.request.headers.items())
    return await parts.node_proxy.forward(target, method=context.request.method, headers=headers)


def _require_node(pod: ReadOnlyObject) -> None:
    if not pod["spec"].get("nodeName"):
        raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")


def _pod_path(pod: ReadOnlyObject) -> str:
    return f"{quote(pod['metadata']['namespace'])}/{quote(pod['metadata']['name'])}"


def _agent(parts: ServerParts, pod: ReadOnlyObject, path: str, query: Query) -> Target:
    node_name = pod["spec"]["nodeName"]
    node = parts.registry.find(NODES, None, node_name)
    if node is None:
        raise node_not_found(node_name)
    host, port = node_address(node)
    return Target(host=host, port=port, path=f"/{path}{encode_query(query)}")
