"""`ComputedKind`: a kind whose objects are made when they are read and kept nowhere; it can be got and listed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from control.api.errors import bad_request
from control.api.exchange import ApiResponse
from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject
from control.apiserver.options import ListOptions, read_list_options
from control.apiserver.representation import objects_response, transform_object, value_response
from control.apiserver.request_context import RequestContext

_FIELDS = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedKind:
    """`get` makes the object of a namespace and name or raises 404; `list` those of a namespace, or of all of them."""

    kind: Kind
    get: Callable[[str, str], Awaitable[Object]]
    list: Callable[[str, ListOptions], Awaitable[Sequence[Object]]]

    async def answer(self, context: RequestContext) -> ApiResponse:
        """Answer a request whose verb the kind has."""
        info = context.info
        if info.verb == "get":
            made = await self.get(info.namespace, info.name)
            return value_response(
                context, transform_object(context, self.kind, made) if context.media.transformation else made
            )
        options = read_list_options(context, is_watch=False)
        for term in options.fields.requirements:
            if term.field not in _FIELDS:
                listing = ", ".join(f'"{name}"' for name in _FIELDS)
                raise bad_request(f'"{term.field}" is not a known field selector: only {listing}')
        return objects_response(context, self.kind, await self.list(info.namespace, options), {})


def is_selected(obj: ReadOnlyObject, options: ListOptions) -> bool:
    """Whether the selectors of a list choose an object, by its labels, name and namespace."""
    metadata = obj["metadata"]
    fields = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
    return options.labels.matches(metadata.get("labels")) and options.fields.matches(fields)
