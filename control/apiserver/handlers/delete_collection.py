"""DELETE of a collection: one deletion per object that the selectors choose."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from control.api.errors import ApiError
from control.api.exchange import ApiResponse
from control.apiserver.cache.encoding import CachedObject
from control.apiserver.handlers.delete import delete_write_options, warn_of_orphans
from control.apiserver.handlers.list import find_page
from control.apiserver.handlers.responding import write_request
from control.apiserver.options import DeleteOptions, read_delete_options, read_list_options
from control.apiserver.registry.delete_object import delete_object
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.registry.write_request import WriteRequest
from control.apiserver.representation import list_response
from control.apiserver.request_body import parse_delete_options
from control.apiserver.request_context import RequestContext

#: Deletions under way at a time; the store commits what waits together.
_PARALLEL_DELETIONS = 32


async def delete_collection(context: RequestContext, store: ResourceStore) -> ApiResponse:
    """Delete what is selected, no more than the limit; answers the list as it was."""
    list_options = read_list_options(context, is_watch=False)
    options = read_delete_options(context, parse_delete_options(context))
    items, metadata = await find_page(context, store, list_options)
    write = write_request(context, delete_write_options(options))
    if items:
        warn_of_orphans(context, store, options)
    limit = asyncio.Semaphore(_PARALLEL_DELETIONS)
    await asyncio.gather(*(_delete_one(limit, store, write, options, item) for item in items))
    return list_response(context, store.served, items, metadata)


async def _delete_one(
    limit: asyncio.Semaphore, store: ResourceStore, write: WriteRequest, options: DeleteOptions, item: CachedObject
) -> None:
    metadata = item.object["metadata"]
    one = replace(write, name=metadata["name"], namespace=metadata.get("namespace", ""))
    async with limit:
        try:
            await delete_object(store, one, replace(options))
        except ApiError as error:
            if error.code != 404:  # somebody else was quicker
                raise
