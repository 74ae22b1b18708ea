"""`WatchCache`: the present state and the recent events of one storage prefix.

The store feeds it synchronously with every committed group before the writers resume, so whoever wrote reads the own
write, and the cache is never behind the store's revision. All reads of the present come from here without touching
the store; only lists of the past go there.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping

from control.api.clock import Clock, SystemClock
from control.api.objects import Object
from control.apiserver.cache.encoding import CachedObject, SelectedObjects
from control.apiserver.cache.event_window import EventWindow
from control.apiserver.cache.watcher import ADDED, BOOKMARK, DELETED, MODIFIED, CacheEvent, Watcher, WatchScope
from control.storage.protocol import Change, ChangeType, Storage

BOOKMARK_INTERVAL_SECONDS = 60.0
#: Selections kept until the next change; clients that list again and again ask for few different ones.
SELECTIONS_MAX = 8

#: The value under which an object is indexed.
IndexFunction = Callable[[Object], str]


class WatchCache:
    """State, indexes, event window and watchers of one prefix. `await start()` before use.

    Keys are `prefix + name` or `prefix + namespace/name`. `indexes` name values that lists and watches select by often
    (`spec.nodeName` of Pods), so that they cost what they return.
    """

    def __init__(
        self,
        storage: Storage,
        prefix: str,
        *,
        clock: Clock | None = None,
        indexes: Mapping[str, IndexFunction] | None = None,
    ) -> None:
        self.storage = storage
        self.prefix = prefix
        self._clock = clock or SystemClock()
        self._index_functions = dict(indexes or {})
        self._objects: dict[str, CachedObject] = {}
        self._keys: list[str] = []
        self._index: dict[tuple[str, str], dict[str, CachedObject]] = {}
        self._indexed_under: dict[str, tuple[tuple[str, str], ...]] = {}
        self._selected: dict[WatchScope, SelectedObjects] = {}
        self._window = EventWindow(0)
        self._watchers: dict[WatchScope, dict[Watcher, None]] = {}
        self._waiting_changes: list[Change] | None = []
        self._unsubscribe: Callable[[], None] | None = None
        self._bookmarks: asyncio.Task[None] | None = None

    @property
    def revision(self) -> int:
        """The revision the cache reflects: the store's."""
        return self.storage.revision

    async def start(self) -> None:
        """Load the present state and follow the store from there."""
        self._unsubscribe = self.storage.subscribe(self._receive, prefix=self.prefix)
        listed = await self.storage.list_prefix(self.prefix)
        for item in listed.items:
            cached = CachedObject(item.key, item.value, item.revision)
            self._objects[item.key] = cached
            if self._index_functions:
                self._add_to_indexes(cached, cached.decode_copy())  # kept decoded it would weigh five times as much
        self._keys = sorted(self._objects)
        self._window = EventWindow(listed.revision)
        waiting, self._waiting_changes = self._waiting_changes or [], None
        for change in waiting:
            if change.revision > listed.revision:
                self._apply(change)

    def stop(self) -> None:
        """Stop following the store and end all watchers."""
        if self._unsubscribe:
            self._unsubscribe()
        if self._bookmarks:
            self._bookmarks.cancel()
        for watcher in self._all_watchers():
            watcher.close()

    # -- reads ---------------------------------------------------------------------------------------------------

    def get(self, key: str) -> CachedObject | None:
        """The present object under a full key, or None."""
        return self._objects.get(key)

    def count(self) -> int:
        """How many objects there are."""
        return len(self._objects)

    def select(self, scope: WatchScope | None = None) -> SelectedObjects:
        """The present objects of a scope in key order. Shared with other callers until the next change: read-only."""
        scope = scope or WatchScope()
        selected = self._selected.get(scope)
        if selected is None:
            if len(self._selected) >= SELECTIONS_MAX:
                self._selected.clear()
            selected = self._selected[scope] = SelectedObjects(self._find(scope))
        return selected

    def _find(self, scope: WatchScope) -> list[CachedObject]:
        if scope.key:
            found = self._objects.get(scope.key)
            return [found] if found else []
        if scope.indexed is not None:
            indexed = self._index.get(scope.indexed, {})
            start = self._namespace_prefix(scope.namespace)
            return [indexed[key] for key in sorted(indexed) if key.startswith(start)]
        return [self._objects[key] for key in self._keys_of(scope.namespace)]

    # -- watch ---------------------------------------------------------------------------------------------------

    def watch(
        self,
        scope: WatchScope | None = None,
        *,
        after_revision: int | None = None,
        with_initial: bool = False,
        bookmarks: bool = False,
        bookmark_initial_end: bool = False,
    ) -> Watcher:
        """Watch a scope: after a revision (raises 410 Expired if it is too old), or from now when it is None.

        `with_initial` starts with an ADDED for every present object instead; `bookmark_initial_end` marks their end.
        The caller closes the watcher.
        """
        scope = scope or WatchScope()
        initial: list[CacheEvent] = []
        if with_initial:
            initial = [CacheEvent(ADDED, item.revision, item) for item in self.select(scope)]
        elif after_revision is not None:
            initial = [event for event in self._window.after(after_revision) if self._concerns(event, scope)]
        if bookmark_initial_end:
            initial.append(CacheEvent(BOOKMARK, self.revision, None, is_initial_end=True))
        watcher = Watcher(scope, self._forget, wants_bookmarks=bookmarks, after_revision=after_revision or 0)
        if initial:
            watcher.offer_initial(initial)
        self._watchers.setdefault(scope, {})[watcher] = None
        if bookmarks and self._bookmarks is None:
            self._bookmarks = asyncio.create_task(self._run_bookmarks())
        return watcher

    def send_bookmarks(self) -> None:
        """Tell every watcher that wants it which revision it has reached."""
        for watcher in self._all_watchers():
            if watcher.wants_bookmarks:
                self.send_bookmark(watcher)

    def send_bookmark(self, watcher: Watcher) -> None:
        """Tell one watcher which revision it has reached."""
        watcher.offer(CacheEvent(BOOKMARK, self.revision, None))

    # -- changes -------------------------------------------------------------------------------------------------

    def _receive(self, changes: list[Change]) -> None:
        if self._waiting_changes is not None:
            self._waiting_changes += changes
            return
        for change in changes:
            self._apply(change)

    def _apply(self, change: Change) -> None:
        key = change.key
        if self._selected:
            self._selected.clear()
        cached = CachedObject(key, change.value, change.revision)
        previous = self._objects.get(key)
        if change.type is ChangeType.DELETED:
            event_type = DELETED
            self._objects.pop(key, None)
            position = bisect_left(self._keys, key)
            if position < len(self._keys) and self._keys[position] == key:
                del self._keys[position]
        else:
            event_type = MODIFIED if previous else ADDED
            if previous is None:
                insort(self._keys, key)
            self._objects[key] = cached
        if self._index_functions:
            self._remove_from_indexes(key)
            if event_type != DELETED:
                self._add_to_indexes(cached, cached.object)
        event = CacheEvent(event_type, change.revision, cached, previous)
        self._window.append(event)
        self._publish(event)

    def _publish(self, event: CacheEvent) -> None:
        if not self._watchers:
            return
        for scope in self._scopes_of(event):
            watchers = self._watchers.get(scope)
            if watchers:
                for watcher in list(watchers):
                    watcher.offer(event)

    def _scopes_of(self, event: CacheEvent) -> Iterable[WatchScope]:
        assert event.cached is not None
        key = event.cached.key
        namespace = self._namespace_of(key)
        scopes = {WatchScope(): None, WatchScope(key=key): None}
        if namespace:
            scopes[WatchScope(namespace=namespace)] = None
            scopes[WatchScope(namespace=namespace, key=key)] = None
        for pair in self._index_pairs(event):
            scopes[WatchScope(indexed=pair)] = None
            if namespace:
                scopes[WatchScope(namespace=namespace, indexed=pair)] = None
        return scopes

    def _concerns(self, event: CacheEvent, scope: WatchScope) -> bool:
        assert event.cached is not None
        key = event.cached.key
        if scope.key and key != scope.key:
            return False
        if scope.namespace and not key.startswith(self._namespace_prefix(scope.namespace)):
            return False
        return scope.indexed is None or scope.indexed in self._index_pairs(event)

    def _index_pairs(self, event: CacheEvent) -> set[tuple[str, str]]:
        states = [state for state in (event.cached, event.previous) if state is not None]
        return {(name, of(state.object)) for name, of in self._index_functions.items() for state in states}

    def _add_to_indexes(self, cached: CachedObject, obj: Object) -> None:
        pairs = tuple((name, of(obj)) for name, of in self._index_functions.items())
        self._indexed_under[cached.key] = pairs
        for pair in pairs:
            self._index.setdefault(pair, {})[cached.key] = cached

    def _remove_from_indexes(self, key: str) -> None:
        for pair in self._indexed_under.pop(key, ()):
            indexed = self._index[pair]
            del indexed[key]
            if not indexed:
                del self._index[pair]

    # -- keys ----------------------------------------------------------------------------------------------------

    def _namespace_of(self, key: str) -> str:
        namespace, slash, _ = key[len(self.prefix) :].partition("/")
        return namespace if slash else ""

    def _namespace_prefix(self, namespace: str) -> str:
        return f"{self.prefix}{namespace}/" if namespace else self.prefix

    def _keys_of(self, namespace: str) -> list[str]:
        if not namespace:
            return self._keys
        start = f"{self.prefix}{namespace}/"
        end = f"{self.prefix}{namespace}0"  # "0" follows "/"
        return self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, end)]

    # -- watchers ------------------------------------------------------------------------------------------------

    def _all_watchers(self) -> list[Watcher]:
        return [watcher for watchers in self._watchers.values() for watcher in watchers]

    def _forget(self, watcher: Watcher) -> None:
        watchers = self._watchers.get(watcher.scope)
        if watchers is None:
            return
        watchers.pop(watcher, None)
        if not watchers:
            del self._watchers[watcher.scope]

    async def _run_bookmarks(self) -> None:
        while True:
            await self._clock.sleep(BOOKMARK_INTERVAL_SECONDS)
            if not any(watcher.wants_bookmarks for watcher in self._all_watchers()):
                self._bookmarks = None
                return
            self.send_bookmarks()
