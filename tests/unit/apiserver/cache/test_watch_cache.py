"""The watch cache over the memory store: own writes are read, watches start where they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from control.api.clock import FakeClock
from control.api.errors import ApiError
from control.apiserver.cache import event_window
from control.apiserver.cache import watcher as watcher_module
from control.apiserver.cache.encoding import CachedObject, encode_for_storage
from control.apiserver.cache.watch_cache import WatchCache
from control.apiserver.cache.watcher import CacheEvent, Watcher, WatchScope
from control.storage.memory import MemoryStorage

PREFIX = "/core/pods/"


def pod(name: str, *, namespace: str = "default", node: str = "", labels: dict[str, str] | None = None) -> bytes:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": labels or {}}
    return encode_for_storage({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"nodeName": node}})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def storage(clock: FakeClock) -> MemoryStorage:
    return MemoryStorage(clock=clock)


@pytest.fixture
async def cache(storage: MemoryStorage, clock: FakeClock) -> AsyncIterator[WatchCache]:
    cache = WatchCache(
        storage, PREFIX, clock=clock, indexes={"spec.nodeName": lambda obj: obj["spec"].get("nodeName", "")}
    )
    await cache.start()
    yield cache
    cache.stop()


async def take(watcher: Watcher, count: int) -> list[CacheEvent]:
    taken: list[CacheEvent] = []
    while len(taken) < count:
        taken += await asyncio.wait_for(anext(watcher), 5)
    return taken


def names(events: list[CacheEvent]) -> list[tuple[str, str]]:
    return [(event.type, event.cached.key.removeprefix(PREFIX) if event.cached else "") for event in events]


async def test_a_writer_reads_its_own_write(storage: MemoryStorage, cache: WatchCache) -> None:
    revision = await storage.create(f"{PREFIX}default/a", pod("a"))
    cached = cache.get(f"{PREFIX}default/a")
    assert cached is not None
    assert cached.revision == revision == cache.revision
    assert cached.object["metadata"]["resourceVersion"] == str(revision)
    await storage.delete(f"{PREFIX}default/a")
    assert cache.get(f"{PREFIX}default/a") is None
    assert cache.select() == []


async def test_start_loads_what_is_stored(storage: MemoryStorage) -> None:
    await storage.create(f"{PREFIX}default/a", pod("a"))
    await storage.create("/core/podtemplates/default/a", pod("a"))
    cache = WatchCache(storage, PREFIX)
    await cache.start()
    assert [item.key for item in cache.select()] == [f"{PREFIX}default/a"]
    cache.stop()


async def test_select_orders_by_key_and_narrows_by_namespace_and_index(
    storage: MemoryStorage, cache: WatchCache
) -> None:
    for namespace, name, node in [("b", "y", "n1"), ("a", "z", "n1"), ("a", "x", "n2"), ("a-b", "w", "n1")]:
        await storage.create(f"{PREFIX}{namespace}/{name}", pod(name, namespace=namespace, node=node))

    def selected(scope: WatchScope) -> list[str]:
        return [item.key.removeprefix(PREFIX) for item in cache.select(scope)]

    assert selected(WatchScope()) == ["a-b/w", "a/x", "a/z", "b/y"]
    assert selected(WatchScope(namespace="a")) == ["a/x", "a/z"]
    assert selected(WatchScope(indexed=("spec.nodeName", "n1"))) == ["a-b/w", "a/z", "b/y"]
    assert selected(WatchScope(namespace="a", indexed=("spec.nodeName", "n1"))) == ["a/z"]
    assert selected(WatchScope(key=f"{PREFIX}a/x")) == ["a/x"]
    assert selected(WatchScope(key=f"{PREFIX}a/none")) == []
    revision = cache.select(WatchScope(key=f"{PREFIX}a/x"))[0].revision
    await storage.update(f"{PREFIX}a/x", pod("x", namespace="a", node="n1"), expected_revision=revision)
    assert selected(WatchScope(indexed=("spec.nodeName", "n2"))) == []
    assert selected(WatchScope(namespace="a", indexed=("spec.nodeName", "n1"))) == ["a/x", "a/z"]


async def test_a_selection_and_its_encoding_are_made_once_until_the_kind_changes(
    storage: MemoryStorage, cache: WatchCache
) -> None:
    await storage.create(f"{PREFIX}a/x", pod("x", namespace="a"))
    first = cache.select(WatchScope(namespace="a"))
    encoded = first.encoded_items(with_type=False)
    await storage.create("/core/nodes/n", pod("n"))
    assert cache.select(WatchScope(namespace="a")) is first
    assert first.encoded_items(with_type=False) is encoded
    await storage.create(f"{PREFIX}a/y", pod("y", namespace="a"))
    changed = cache.select(WatchScope(namespace="a"))
    assert [item.object["metadata"]["name"] for item in changed] == ["x", "y"]
    assert len(first) == 1


async def test_watch_from_now_sees_only_what_follows_in_its_scope(storage: MemoryStorage, cache: WatchCache) -> None:
    await storage.create(f"{PREFIX}a/old", pod("old", namespace="a"))
    watcher = cache.watch(WatchScope(namespace="a"))
    revision = await storage.create(f"{PREFIX}a/x", pod("x", namespace="a"))
    await storage.create(f"{PREFIX}b/x", pod("x", namespace="b"))
    await storage.update(f"{PREFIX}a/x", pod("x", namespace="a"), expected_revision=revision)
    deleted = await storage.delete(f"{PREFIX}a/x")
    events = await take(watcher, 3)
    assert names(events) == [("ADDED", "a/x"), ("MODIFIED", "a/x"), ("DELETED", "a/x")]
    line = orjson.loads(events[2].encoded)
    assert line["type"] == "DELETED"
    assert line["object"]["metadata"]["resourceVersion"] == str(deleted)


async def test_watch_after_a_revision_replays_the_window_then_goes_on(
    storage: MemoryStorage, cache: WatchCache
) -> None:
    first = await storage.create(f"{PREFIX}a/one", pod("one", namespace="a"))
    await storage.create(f"{PREFIX}a/two", pod("two", namespace="a"))
    await storage.create(f"{PREFIX}b/other", pod("other", namespace="b"))
    watcher = cache.watch(WatchScope(namespace="a"), after_revision=first)
    await storage.delete(f"{PREFIX}a/one")
    assert names(await take(watcher, 2)) == [("ADDED", "a/two"), ("DELETED", "a/one")]


async def test_watch_with_initial_events_ends_them_with_a_bookmark(storage: MemoryStorage, cache: WatchCache) -> None:
    await storage.create(f"{PREFIX}a/one", pod("one", namespace="a"))
    await storage.create(f"{PREFIX}a/two", pod("two", namespace="a"))
    watcher = cache.watch(with_initial=True, bookmarks=True, bookmark_initial_end=True)
    await storage.create(f"{PREFIX}a/three", pod("three", namespace="a"))
    events = await take(watcher, 4)
    assert names(events) == [("ADDED", "a/one"), ("ADDED", "a/two"), ("BOOKMARK", ""), ("ADDED", "a/three")]
    assert events[2].is_initial_end
    assert events[2].revision == storage.revision - 1


async def test_watch_before_the_window_is_expired(
    storage: MemoryStorage, cache: WatchCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_window, "EVENTS_MAX", 3)
    revisions = [await storage.create(f"{PREFIX}a/{number}", pod(str(number))) for number in range(6)]
    with pytest.raises(ApiError) as error:
        cache.watch(after_revision=revisions[1])
    assert (error.value.code, error.value.reason) == (410, "Expired")
    assert error.value.message == f"too old resource version: {revisions[1]} ({revisions[2]})"
    assert len(await take(cache.watch(after_revision=revisions[2]), 3)) == 3


async def test_watch_from_before_the_start_is_expired(storage: MemoryStorage) -> None:
    revision = await storage.create(f"{PREFIX}a/x", pod("x"))
    cache = WatchCache(storage, PREFIX)
    await cache.start()
    with pytest.raises(ApiError, match=rf"too old resource version: {revision - 1} \({revision}\)"):
        cache.watch(after_revision=revision - 1)
    cache.stop()


async def test_watch_from_a_future_revision_skips_what_is_not_after_it(
    storage: MemoryStorage, cache: WatchCache
) -> None:
    watcher = cache.watch(after_revision=storage.revision + 2)
    for name in "abc":
        await storage.create(f"{PREFIX}x/{name}", pod(name))
    assert names(await take(watcher, 1)) == [("ADDED", "x/c")]


async def test_index_watch_sees_objects_come_and_go(storage: MemoryStorage, cache: WatchCache) -> None:
    watcher = cache.watch(WatchScope(indexed=("spec.nodeName", "n1")))

    def on_node(cached: CachedObject) -> bool:
        return bool(cached.object["spec"]["nodeName"] == "n1")

    key = f"{PREFIX}a/x"
    first = await storage.create(key, pod("x"))
    second = await storage.update(key, pod("x", node="n1"), expected_revision=first)
    third = await storage.update(key, pod("x", node="n2"), expected_revision=second)
    await storage.delete(key, expected_revision=third)
    events = await take(watcher, 2)
    seen = [event.seen_by(on_node) for event in events]
    assert [event.type for event in seen if event] == ["ADDED", "DELETED"]
    gone = seen[1]
    assert gone is not None
    assert gone.cached is not None
    assert gone.cached.object["spec"]["nodeName"] == "n1"
    assert gone.cached.object["metadata"]["resourceVersion"] == str(third)


@pytest.mark.parametrize(
    ("type", "was", "is_now", "expected"),
    [
        ("ADDED", None, True, "ADDED"),
        ("ADDED", None, False, None),
        ("MODIFIED", True, True, "MODIFIED"),
        ("MODIFIED", False, True, "ADDED"),
        ("MODIFIED", True, False, "DELETED"),
        ("MODIFIED", False, False, None),
        ("DELETED", True, True, "DELETED"),
        ("DELETED", False, False, None),
    ],
)
def test_selector_transitions(type: str, was: bool | None, is_now: bool, expected: str | None) -> None:
    def make(visible: bool, revision: int) -> CachedObject:
        return CachedObject("/k", pod("x", labels={"seen": str(visible)}), revision)

    event = CacheEvent(type, 5, make(is_now, 5), None if was is None else make(was, 4))
    seen = event.seen_by(lambda cached: bool(cached.object["metadata"]["labels"]["seen"] == "True"))
    assert (seen.type if seen else None) == expected


async def test_an_event_is_encoded_once_for_all_watchers(storage: MemoryStorage, cache: WatchCache) -> None:
    watchers = [cache.watch() for _ in range(3)]
    await storage.create(f"{PREFIX}a/x", pod("x"))
    lines = [(await take(watcher, 1))[0].encoded for watcher in watchers]
    assert lines[0] is lines[1] is lines[2]
    assert lines[0].endswith(b"}\n")


async def test_a_batch_holds_all_that_happened_since_the_last_one(storage: MemoryStorage, cache: WatchCache) -> None:
    watcher = cache.watch()
    for number in range(5):
        await storage.create(f"{PREFIX}a/{number}", pod(str(number)))
    assert len(await anext(watcher)) == 5


async def test_a_watcher_that_does_not_keep_up_is_ended_and_harms_no_other(
    storage: MemoryStorage, cache: WatchCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "BUFFER_EVENTS_MAX", 20)
    slow, fast = cache.watch(), cache.watch()
    seen = 0
    for number in range(21):
        await storage.create(f"{PREFIX}a/{number}", pod("x"))
        seen += len(await take(fast, 1))
    assert slow.is_overrun
    with pytest.raises(StopAsyncIteration):
        await anext(slow)
    assert seen == 21


async def test_bookmarks_come_every_minute_to_those_who_want_them(
    storage: MemoryStorage, cache: WatchCache, clock: FakeClock
) -> None:
    wanting, other = cache.watch(bookmarks=True), cache.watch()
    await asyncio.sleep(0)
    await storage.create("/core/nodes/x", pod("x"))
    await clock.advance(60)
    events = await take(wanting, 1)
    assert (events[0].type, events[0].revision) == ("BOOKMARK", storage.revision)
    await storage.create(f"{PREFIX}a/x", pod("x"))
    assert names(await take(other, 1)) == [("ADDED", "a/x")]


async def test_a_closed_watcher_ends(storage: MemoryStorage, cache: WatchCache) -> None:
    watcher = cache.watch()
    ended = asyncio.ensure_future(anext(watcher, None))
    await asyncio.sleep(0)
    watcher.close()
    assert await asyncio.wait_for(ended, 60) is None
    await storage.create(f"{PREFIX}a/x", pod("x"))
