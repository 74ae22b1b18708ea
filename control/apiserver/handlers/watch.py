"""GET with watch: a stream of events that ends by the client, the timeout or the server's end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import TypeVar

import orjson

from control.api.errors import ApiError
from control.api.exchange import ApiResponse, WatchEvent
from control.api.objects import Object, ReadOnlyObject
from control.apiserver.cache.watcher import BOOKMARK, CacheEvent, Watcher
from control.apiserver.negotiation import JSON, PLAIN_JSON, PLAIN_PROTOBUF, PROTOBUF
from control.apiserver.options import ListOptions, read_list_options
from control.apiserver.registry.resource_store import ResourceStore
from control.apiserver.registry.served_kind import ServedKind
from control.apiserver.representation import headers_of, transform_object
from control.apiserver.request_context import RequestContext
from control.apiserver.selection import Selection, select

#: A watch without a timeout of its own ends after this long, times one to two, so that clients do not return at once.
TIMEOUT_SECONDS_MIN = 1800
#: A chunk that has reached this size is sent before the next event is encoded.
CHUNK_BYTES = 256 * 1024
LAST_BOOKMARK_SECONDS_BEFORE = 2

T = TypeVar("T")

_INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


async def watch(context: RequestContext, store: ResourceStore) -> ApiResponse:
    """Open a watch."""
    info = context.info
    # Upstream judges the options of the old paths as those of a list: they do not say `watch`.
    options = read_list_options(context, is_watch=not info.is_watch_path)
    name = info.name if info.has_name_in_path else ""
    selection = select(store.served, info.namespace, name, options)
    try:
        watcher = _open(store, options, selection)
    except ApiError as error:
        return _failed(context, error)
    seconds = options.timeout_seconds or TIMEOUT_SECONDS_MIN * (1 + random.random())
    _end_after(context, store, watcher, seconds)
    presenter = _Presenter(context, store.served, selection)
    if context.request.in_process:
        return ApiResponse(headers=headers_of(context), events=presenter.events(watcher))
    content_type = f"{PROTOBUF};stream=watch" if context.media is PLAIN_PROTOBUF else JSON
    headers = [*headers_of(context), ("Content-Type", content_type)]
    return ApiResponse(headers=headers, stream=presenter.lines(watcher))


def _end_after(context: RequestContext, store: ResourceStore, watcher: Watcher, seconds: float) -> None:
    """End a watch in time. Shortly before, it is told how far it has come, so that its client resumes from there."""
    loop = asyncio.get_running_loop()
    timers = [loop.call_later(seconds, watcher.close)]
    if watcher.wants_bookmarks and seconds > LAST_BOOKMARK_SECONDS_BEFORE:
        delay = seconds - LAST_BOOKMARK_SECONDS_BEFORE
        timers.append(loop.call_later(delay, store.served.cache.send_bookmark, watcher))
    context.on_done += [timer.cancel for timer in timers]
    context.on_done.append(watcher.close)


def _failed(context: RequestContext, error: ApiError) -> ApiResponse:
    """A watch that is refused after its parameters were understood answers with an ERROR event, as upstream's."""
    status = error.to_status()
    if context.request.in_process:
        return ApiResponse(events=_once([WatchEvent(type="ERROR", object=status)]))
    line = orjson.dumps({"type": "ERROR", "object": status}, option=orjson.OPT_APPEND_NEWLINE)
    return ApiResponse(headers=[("Content-Type", "application/json")], stream=_once(line))


async def _once(item: T) -> AsyncIterator[T]:
    yield item


def _open(store: ResourceStore, options: ListOptions, selection: Selection) -> Watcher:
    cache = store.served.cache
    revision = options.resource_version
    if options.send_initial_events:
        return cache.watch(
            selection.scope,
            with_initial=True,
            bookmarks=options.allow_bookmarks,
            bookmark_initial_end=options.allow_bookmarks,
        )
    if options.send_initial_events is None and not revision:
        return cache.watch(selection.scope, with_initial=True, bookmarks=options.allow_bookmarks)
    return cache.watch(selection.scope, after_revision=revision or None, bookmarks=options.allow_bookmarks)


class _Presenter:
    """Shows cache events as one client wants them."""

    def __init__(self, context: RequestContext, served: ServedKind, selection: Selection) -> None:
        self._context = context
        self._served = served
        self._matches = selection.matches
        self._copies_bytes = context.media is PLAIN_JSON and served.conversion is None
        self._sent_columns = False

    async def lines(self, watcher: Watcher) -> AsyncIterator[bytes]:
        """Encoded events, all of a wake-up in one chunk unless that grows large.

        A reader that has fallen behind by thousands of events thus costs one chunk: the rest stays shared with others.
        """
        try:
            async for batch in watcher:
                lines: list[bytes] = []
                size = 0
                for event in self._visible(batch):
                    lines.append(self._line(event))
                    size += len(lines[-1])
                    if size >= CHUNK_BYTES:
                        yield b"".join(lines)
                        lines.clear()
                        size = 0
                if lines:
                    yield b"".join(lines)
        finally:
            watcher.close()

    async def events(self, watcher: Watcher) -> AsyncIterator[list[WatchEvent]]:
        """Decoded events, one batch per wake-up."""
        try:
            async for batch in watcher:
                events = [WatchEvent(type=event.type, object=self._object(event)) for event in self._visible(batch)]
                if events:
                    yield events
        finally:
            watcher.close()

    def _visible(self, batch: list[CacheEvent]) -> list[CacheEvent]:
        if self._matches is None:
            return batch
        seen = (event.seen_by(self._matches) for event in batch)
        return [event for event in seen if event is not None]

    def _line(self, event: CacheEvent) -> bytes:
        if self._copies_bytes and event.type != BOOKMARK:
            return event.encoded
        obj: ReadOnlyObject = self._object(event)
        if self._context.media.transformation:
            obj = self._transform(obj)
        if self._context.media is PLAIN_PROTOBUF:
            from control.schema.protobuf_encoder import encode_watch_event  # few clients accept nothing else

            return encode_watch_event(event.type, obj)
        return orjson.dumps({"type": event.type, "object": obj}, option=orjson.OPT_APPEND_NEWLINE)

    def _object(self, event: CacheEvent) -> Object:
        if event.cached is None:
            return self._bookmark(event)
        return self._served.object_of(event.cached)  # type: ignore[return-value]

    def _bookmark(self, event: CacheEvent) -> Object:
        metadata: Object = {"resourceVersion": str(event.revision)}
        if event.is_initial_end:
            metadata["annotations"] = _INITIAL_EVENTS_END
        return {**self._served.empty_object, "metadata": metadata}

    def _transform(self, obj: ReadOnlyObject) -> Object:
        # A Table's columns are sent once per watch.
        shown = transform_object(self._context, self._served.kind, obj, with_headers=not self._sent_columns)
        self._sent_columns = True
        return shown
