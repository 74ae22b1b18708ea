"""Which handler answers which verb."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from control.api.exchange import ApiResponse
from control.apiserver.handlers.create import create
from control.apiserver.handlers.delete import delete
from control.apiserver.handlers.delete_collection import delete_collection
from control.apiserver.handlers.get import get
from control.apiserver.handlers.list import list_objects
from control.apiserver.handlers.patch import patch
from control.apiserver.handlers.update import update
from control.apiserver.handlers.watch import watch
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.request_context import RequestContext

Handler = Callable[[RequestContext, ResourceStore], Awaitable[ApiResponse]]

VERB_HANDLERS: Mapping[str, Handler] = {
    "create": create,
    "get": get,
    "list": list_objects,
    "watch": watch,
    "patch": patch,
    "update": update,
    "delete": delete,
    "deletecollection": delete_collection,
}
