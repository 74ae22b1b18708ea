"""Failures of a node's agent, which speaks plain text, as Status objects (upstream's GenericHttpResponseChecker)."""

from __future__ import annotations

from control.api.errors import ApiError, bad_request, internal_error
from control.api.exchange import ApiResponse
from control.api.objects import Object
from control.apiserver.node_proxy import NodeUnreachableError

_TEXT_BYTES_MAX = 50_000

#: Reason and text of the codes that upstream names; the agent's own text is not shown for these.
_NAMED: dict[int, tuple[str, str]] = {
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
}


async def require_success(response: ApiResponse, resource: str, name: str) -> ApiResponse:
    """Return the answer if it succeeded, otherwise raise its text; `resource` and `name` are what was asked for."""
    if 200 <= response.status <= 206:
        return response
    text = await _read_text(response)
    if response.status == 400:
        raise bad_request(text)
    if response.status == 500:
        raise internal_error(text)
    reason, message = _NAMED.get(response.status) or _unnamed(response.status, text)
    details: Object = {"name": name, "kind": resource}
    # Upstream words it `(<verb> <resource> <name>)` and has no verb here.
    raise ApiError(response.status, reason, f"{message} ( {resource} {name})", details=details)


def unreachable_log(error: NodeUnreachableError) -> ApiError:
    """The failure to reach the agent as Go's HTTP client words it."""
    return ApiError(500, "", f'Get "{error.target.url}": {error.cause}')


def unreachable_service(error: NodeUnreachableError) -> ApiError:
    """The failure to reach what a proxy request names."""
    return ApiError(503, "ServiceUnavailable", f"error trying to reach service: {error.cause}")


def _unnamed(code: int, text: str) -> tuple[str, str]:
    if code == 403:
        return "Forbidden", text
    if code >= 500:
        return "InternalError", f'an error on the server ("{text}") has prevented the request from succeeding'
    return "", f"the server responded with the status code {code} but did not return more information"


async def _read_text(response: ApiResponse) -> str:
    received = b""
    if response.stream is not None:
        async for chunk in response.stream:
            received += chunk
            if len(received) >= _TEXT_BYTES_MAX:
                break
    return received[:_TEXT_BYTES_MAX].decode(errors="replace")
