"""Which handler answers a request for a resource, and which requests upstream's router has no route for.

There is one route for all kinds: what a kind serves (its verbs, its subresources, its scope) is data.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from control.api.errors import ApiError, method_not_supported, path_not_found
from control.api.exchange import ApiResponse
from control.api.kinds import Kind
from control.apiserver.handlers.reviews import review
from control.apiserver.handlers.verbs import VERB_HANDLERS
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.registry.subresources.server_parts import ServerParts
from control.apiserver.registry.subresources.table import SUBRESOURCE_HANDLERS
from control.apiserver.request_context import RequestContext
from control.apiserver.request_info import RequestInfo

Handler = Callable[[RequestContext, ResourceStore, ServerParts], Awaitable[ApiResponse]]

_MEMBER_VERBS = frozenset({"get", "update", "patch", "delete"})
_COLLECTION_VERBS_OF_ALL_NAMESPACES = frozenset({"list", "watch"})


def find_handler(kind: Kind, info: RequestInfo) -> Handler:
    """Return what answers. Raises 404 for a path and 405 for a method that nothing is served under."""
    _check_scope(kind, info)
    if info.is_watch_path:
        return _watch_path_handler(kind, info)
    if info.subresource:
        return _subresource_handler(kind, info)
    if kind.verbs == ("create",) and info.verb == "create" and not info.has_name_in_path:
        return review
    if info.verb == "watch" and "list" in kind.verbs and "watch" not in kind.verbs:
        raise method_not_supported(kind.group, kind.plural, "watch")
    is_member_verb = info.verb in _MEMBER_VERBS
    if info.verb not in kind.verbs or info.method == "HEAD" or info.has_name_in_path != is_member_verb:
        raise method_not_allowed()
    return _verb_handler(info.verb)


def _verb_handler(verb: str) -> Handler:
    handler = VERB_HANDLERS[verb]

    async def answer(context: RequestContext, store: ResourceStore, parts: ServerParts) -> ApiResponse:
        return await handler(context, store)

    return answer


def _watch_path_handler(kind: Kind, info: RequestInfo) -> Handler:
    """The old form of a watch has a route where a kind can be watched."""
    if "watch" not in kind.verbs or info.subresource:
        raise path_not_found()
    if info.method != "GET":
        raise method_not_allowed()
    return _WATCH


def _subresource_handler(kind: Kind, info: RequestInfo) -> Handler:
    subresource = kind.find_subresource(info.subresource)
    handler = SUBRESOURCE_HANDLERS.get(info.subresource)
    if subresource is None or handler is None or (info.rest and info.subresource != "proxy"):
        raise path_not_found()
    is_passed_on = info.subresource == "proxy" and info.method == "OPTIONS"  # which is no verb
    if info.verb not in subresource.verbs and not is_passed_on:
        raise method_not_allowed()
    return handler


_WATCH = _verb_handler("watch")


def _check_scope(kind: Kind, info: RequestInfo) -> None:
    """Refuse an object without its namespace, and a namespace around a kind that has none."""
    if kind.namespaced:
        if info.namespace:
            return
        if info.has_name_in_path:
            raise path_not_found()
        if info.verb not in _COLLECTION_VERBS_OF_ALL_NAMESPACES:
            raise method_not_allowed()
    elif info.namespace and info.resource != "namespaces":
        raise path_not_found()


def method_not_allowed() -> ApiError:
    """405 as upstream's router words it."""
    text = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", text, details={})
