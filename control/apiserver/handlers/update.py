"""PUT of one object."""

from __future__ import annotations

import orjson

from control.api.exchange import ApiResponse
from control.api.objects import Object
from control.apiserver.handlers.responding import write_request, written_response
from control.apiserver.options import read_write_options
from control.apiserver.registry.metadata import check_request_name, drop_repeated_owners, set_request_namespace
from control.apiserver.registry.resource_store import Change, ResourceStore
from control.apiserver.request_body import parse_body
from control.apiserver.request_context import RequestContext


async def update(context: RequestContext, store: ResourceStore, *, is_status: bool = False) -> ApiResponse:
    """Replace an object (or its status), or create it where the kind allows that."""
    options = read_write_options(context, "UpdateOptions")
    parsed = parse_body(context, store.served.body_kind)
    obj = store.served.decode(parsed, field_validation=options.field_validation, warn=context.warn)
    set_request_namespace(store.kind, obj, context.info.namespace)
    check_request_name(obj, context.info.name)
    for text in drop_repeated_owners(obj):
        context.warn(text)

    encoded = orjson.dumps(obj)

    def replace(live: Object | None) -> Object:
        # A copy each time: the loop may ask again after admission and strategy have changed what they were given.
        return orjson.loads(encoded)  # type: ignore[no-any-return]

    change = Change(
        replace,
        is_status=is_status,
        allows_create=store.strategy.allow_create_on_update and not context.info.subresource,
        uid=obj["metadata"].get("uid") or "",
    )
    return written_response(context, store, await store.update(write_request(context, options), change))
