"""GET of a collection: the present from the cache, pages and the past from the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from control.api.errors import bad_request, gone
from control.api.exchange import ApiResponse
from control.api.objects import Object
from control.apiserver.cache.continue_token import INCONSISTENT, decode_continue, encode_continue, expired_continue
from control.apiserver.cache.encoding import CachedObject
from control.apiserver.negotiation import PLAIN_JSON
from control.apiserver.options import ListOptions, read_list_options, too_large_resource_version
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.representation import list_response
from control.apiserver.request_context import RequestContext
from control.apiserver.selection import Selection, select
from control.storage.protocol import CompactedError, FutureRevisionError

#: How many objects a page with a selector reads at a time, at least.
_CHUNK_OBJECTS = 500
#: So many objects are looked into without giving up the event loop (some 5 ms).
_INLINE_OBJECTS_MAX = 500

T = TypeVar("T")


async def list_objects(context: RequestContext, store: ResourceStore) -> ApiResponse:
    """List objects, newest state unless the request asks for another."""
    items, metadata = await find_page(context, store, read_list_options(context, is_watch=False))
    if context.media is PLAIN_JSON and store.served.conversion is None:
        return list_response(context, store.served, items, metadata)  # joins bytes
    return await _with_turns(len(items), lambda: list_response(context, store.served, items, metadata))


async def _with_turns(object_count: int, work: Callable[[], T]) -> T:
    """Do work that looks into each object: on a thread if they are many, so that other requests get their turns."""
    return work() if object_count <= _INLINE_OBJECTS_MAX else await asyncio.to_thread(work)


async def find_page(
    context: RequestContext, store: ResourceStore, options: ListOptions
) -> tuple[list[CachedObject], Object]:
    """Find what a list shows, and the list's metadata."""
    selection = select(store.served, context.info.namespace, "", options)
    if options.continue_token or _is_exact(options):
        return await _list_past(context, store, options, selection)
    return await _list_present(context, store, options, selection)


def _is_exact(options: ListOptions) -> bool:
    if not options.resource_version:
        return False
    if options.resource_version_match:
        return options.resource_version_match == "Exact"
    return options.limit > 0  # a page of a given revision is a page of exactly that one


async def _list_present(
    context: RequestContext, store: ResourceStore, options: ListOptions, selection: Selection
) -> tuple[list[CachedObject], Object]:
    revision = store.storage.revision
    if options.resource_version and options.resource_version > revision:
        raise too_large_resource_version(options.resource_version, revision)
    present = store.served.cache.select(selection.scope)  # of this revision, whatever happens to the cache meanwhile
    items: list[CachedObject] = present
    if selection.matches is not None:
        items = await _with_turns(len(present), lambda: selection.filter(present))
    metadata: Object = {"resourceVersion": str(revision)}
    limit = options.limit
    if limit <= 0 or len(items) <= limit or options.resource_version == 0:
        return items, metadata
    page = items[:limit]
    prefix = _prefix(store, context.info.namespace)
    metadata["continue"] = encode_continue(page[-1].key[len(prefix) :], revision)
    if selection.matches is None:
        metadata["remainingItemCount"] = len(items) - limit
    return page, metadata


def _prefix(store: ResourceStore, namespace: str) -> str:
    prefix = store.kind.storage_prefix
    return f"{prefix}{namespace}/" if namespace else prefix


async def _list_past(
    context: RequestContext, store: ResourceStore, options: ListOptions, selection: Selection
) -> tuple[list[CachedObject], Object]:
    prefix = _prefix(store, context.info.namespace)
    start, revision = "", options.resource_version
    if options.continue_token:
        if options.resource_version:
            raise bad_request("specifying resource version is not allowed when using continue")
        start, revision = decode_continue(options.continue_token)
        if revision == INCONSISTENT:
            revision = store.storage.revision
    assert revision is not None
    try:
        return await _read_page(store, prefix, start, revision, options, selection)
    except CompactedError:
        if options.continue_token:
            raise expired_continue(encode_continue(start.rstrip("\0"), INCONSISTENT)) from None
        raise gone("The resourceVersion for the provided list is too old.") from None
    except FutureRevisionError as error:
        raise too_large_resource_version(revision, error.current) from None


async def _read_page(
    store: ResourceStore, prefix: str, start: str, revision: int, options: ListOptions, selection: Selection
) -> tuple[list[CachedObject], Object]:
    limit = options.limit
    found: list[CachedObject] = []
    after = prefix + start.rstrip("\0") if start else ""
    while True:
        wanted = None if limit <= 0 else limit - len(found)
        if wanted is not None and selection.matches is not None:
            wanted = max(wanted, _CHUNK_OBJECTS)
        page = await store.storage.list_prefix(prefix, limit=wanted, start_after=after, revision=revision)
        for position, item in enumerate(page.items):
            cached = CachedObject(item.key, item.value, item.revision)
            if selection.matches is not None and not selection.matches(cached):
                continue
            found.append(cached)
            unread = page.remaining + len(page.items) - position - 1
            if len(found) == limit and unread:
                return found, _page_metadata(item.key[len(prefix) :], revision, unread, selection)
        if not page.remaining:
            return found, {"resourceVersion": str(revision)}
        after = page.items[-1].key


def _page_metadata(relative_key: str, revision: int, unread: int, selection: Selection) -> Object:
    metadata: Object = {"resourceVersion": str(revision), "continue": encode_continue(relative_key, revision)}
    if selection.matches is None:
        metadata["remainingItemCount"] = unread
    return metadata
