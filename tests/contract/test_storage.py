"""The storage contract. Every implementation of `control.storage.protocol.Storage` must pass all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from control.api.clock import FakeClock
from control.storage.memory import MemoryStorage
from control.storage.protocol import (
    Change,
    ChangeType,
    CompactedError,
    FutureRevisionError,
    KeyExistsError,
    KeyNotFoundError,
    RevisionConflictError,
    Storage,
    StorageUnavailableError,
)
from control.storage.sqlite import SqliteStorage


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Storage]:
    store: Storage
    if request.param == "memory":
        store = MemoryStorage(clock=clock)
    else:
        store = await SqliteStorage.open(tmp_path / "state.db", clock=clock)
    yield store
    await store.close()


async def keys(storage: Storage, prefix: str, **options: object) -> list[str]:
    result = await storage.list_prefix(prefix, **options)  # type: ignore[arg-type]
    return [item.key for item in result.items]


async def test_create_then_get_returns_value_and_revision(storage: Storage) -> None:
    before = storage.revision
    revision = await storage.create("/pods/a", b"one")
    stored = await storage.get("/pods/a")
    assert revision == before + 1 == storage.revision
    assert stored is not None
    assert (stored.key, stored.value, stored.revision) == ("/pods/a", b"one", revision)


async def test_an_empty_store_has_a_revision_that_is_not_zero(storage: Storage) -> None:
    assert storage.revision > 0
    result = await storage.list_prefix("/")
    assert (result.items, result.revision, result.remaining) == ([], storage.revision, 0)


async def test_create_of_an_existing_key_is_refused(storage: Storage) -> None:
    revision = await storage.create("/a", b"one")
    with pytest.raises(KeyExistsError):
        await storage.create("/a", b"two")
    stored = await storage.get("/a")
    assert stored is not None
    assert stored.value == b"one"
    assert storage.revision == revision


async def test_update_needs_the_current_revision(storage: Storage) -> None:
    first = await storage.create("/a", b"one")
    second = await storage.update("/a", b"two", expected_revision=first)
    with pytest.raises(RevisionConflictError) as conflict:
        await storage.update("/a", b"three", expected_revision=first)
    assert conflict.value.current_revision == second
    with pytest.raises(KeyNotFoundError):
        await storage.update("/b", b"x", expected_revision=first)


async def test_delete_checks_existence_and_revision(storage: Storage) -> None:
    revision = await storage.create("/a", b"one")
    with pytest.raises(RevisionConflictError):
        await storage.delete("/a", expected_revision=revision + 1)
    assert await storage.delete("/a", expected_revision=revision) == revision + 1
    assert await storage.get("/a") is None
    with pytest.raises(KeyNotFoundError):
        await storage.delete("/a")


async def test_a_deleted_key_can_be_created_again(storage: Storage) -> None:
    await storage.create("/a", b"one")
    await storage.delete("/a")
    revision = await storage.create("/a", b"two")
    stored = await storage.get("/a")
    assert stored is not None
    assert (stored.value, stored.revision) == (b"two", revision)


async def test_list_is_ordered_by_key_and_bounded_by_prefix(storage: Storage) -> None:
    for key in ["/pods/b", "/pods/a", "/podsx/c", "/pod/d", "/pods/a/z", "/pods/ä"]:
        await storage.create(key, key.encode())
    assert await keys(storage, "/pods/") == ["/pods/a", "/pods/a/z", "/pods/b", "/pods/ä"]


async def test_list_pages_count_what_remains(storage: Storage) -> None:
    for name in "abcde":
        await storage.create(f"/p/{name}", b"")
    first = await storage.list_prefix("/p/", limit=2)
    assert ([item.key for item in first.items], first.remaining) == (["/p/a", "/p/b"], 3)
    last = await storage.list_prefix("/p/", limit=2, start_after="/p/d")
    assert ([item.key for item in last.items], last.remaining) == (["/p/e"], 0)
    exact = await storage.list_prefix("/p/", limit=5)
    assert (len(exact.items), exact.remaining) == (5, 0)


async def test_list_at_a_revision_shows_the_state_of_then(storage: Storage) -> None:
    await storage.create("/p/a", b"a1")
    b1 = await storage.create("/p/b", b"b1")
    await storage.update("/p/b", b"b2", expected_revision=b1)
    await storage.delete("/p/a")
    await storage.create("/p/c", b"c1")
    await storage.create("/p/a", b"a2")
    then = await storage.list_prefix("/p/", revision=b1)
    assert [(item.key, item.value) for item in then.items] == [("/p/a", b"a1"), ("/p/b", b"b1")]
    assert then.revision == b1
    page = await storage.list_prefix("/p/", revision=b1, limit=1)
    assert ([item.key for item in page.items], page.remaining) == (["/p/a"], 1)


async def test_list_at_a_future_revision_is_refused(storage: Storage) -> None:
    with pytest.raises(FutureRevisionError) as error:
        await storage.list_prefix("/p/", revision=storage.revision + 1)
    assert error.value.current == storage.revision


async def test_compaction_forgets_the_past_and_keeps_the_state_as_of_its_revision(storage: Storage) -> None:
    first = await storage.create("/p/a", b"1")
    second = await storage.update("/p/a", b"2", expected_revision=first)
    gone = await storage.create("/p/gone", b"g")
    third = await storage.delete("/p/gone")
    await storage.update("/p/a", b"3", expected_revision=second)
    await storage.compact(gone)
    with pytest.raises(CompactedError) as error:
        await storage.list_prefix("/p/", revision=second)
    assert error.value.compacted_revision == gone
    kept = await storage.list_prefix("/p/", revision=gone)
    assert [(item.key, item.value) for item in kept.items] == [("/p/a", b"2"), ("/p/gone", b"g")]
    await storage.compact(third)
    current = await storage.list_prefix("/p/")
    assert [(item.key, item.value) for item in current.items] == [("/p/a", b"3")]


async def test_compaction_never_goes_back_nor_ahead(storage: Storage) -> None:
    await storage.create("/a", b"")
    await storage.create("/b", b"")
    await storage.compact(storage.revision)
    await storage.compact(storage.revision - 1)
    with pytest.raises(CompactedError):
        await storage.list_prefix("/", revision=storage.revision - 1)
    with pytest.raises(FutureRevisionError):
        await storage.compact(storage.revision + 1)


async def take(changes: AsyncIterator[list[Change]], count: int) -> list[Change]:
    taken: list[Change] = []
    while len(taken) < count:
        taken += await asyncio.wait_for(anext(changes), 5)
    return taken


async def test_watch_yields_history_then_live_changes_in_commit_order(storage: Storage) -> None:
    start = storage.revision
    first = await storage.create("/p/a", b"1")
    await storage.create("/other", b"")
    await storage.update("/p/a", b"2", expected_revision=first)
    changes = storage.watch("/p/", after_revision=start)
    history = await take(changes, 2)
    await storage.delete("/p/a")
    await storage.create("/p/b", b"3")
    live = await take(changes, 2)
    assert [(item.type, item.key, item.value) for item in history + live] == [
        (ChangeType.CREATED, "/p/a", b"1"),
        (ChangeType.UPDATED, "/p/a", b"2"),
        (ChangeType.DELETED, "/p/a", b"2"),
        (ChangeType.CREATED, "/p/b", b"3"),
    ]
    revisions = [item.revision for item in history + live]
    assert revisions == sorted(set(revisions))


async def test_watch_history_has_the_last_value_of_a_deleted_key(storage: Storage) -> None:
    first = await storage.create("/p/a", b"1")
    await storage.delete("/p/a")
    assert (await take(storage.watch("/p/", after_revision=first), 1))[0].value == b"1"


async def test_watch_from_a_compacted_revision_is_refused(storage: Storage) -> None:
    first = await storage.create("/p/a", b"1")
    second = await storage.update("/p/a", b"2", expected_revision=first)
    await storage.compact(second)
    with pytest.raises(CompactedError):
        await anext(storage.watch("/p/", after_revision=first))
    await storage.update("/p/a", b"3", expected_revision=second)
    assert [item.value for item in await take(storage.watch("/p/", after_revision=second), 1)] == [b"3"]


async def test_watch_never_loses_a_change_committed_while_it_starts(storage: Storage) -> None:
    start = storage.revision

    async def write() -> None:
        for number in range(50):
            await storage.create(f"/p/{number:02}", b"")

    writing = asyncio.create_task(write())
    changes = await take(storage.watch("/p/", after_revision=start), 50)
    await writing
    assert [item.key for item in changes] == [f"/p/{number:02}" for number in range(50)]


async def test_subscriber_sees_a_change_before_its_writer_resumes(storage: Storage) -> None:
    seen: list[int] = []
    unsubscribe = storage.subscribe(lambda changes: seen.extend(item.revision for item in changes))

    async def write(number: int) -> bool:
        return await storage.create(f"/p/{number}", b"") in seen

    assert all(await asyncio.gather(*(write(number) for number in range(100))))
    assert seen == sorted(seen)
    assert len(seen) == 100
    unsubscribe()
    await storage.create("/p/after", b"")
    assert len(seen) == 100


async def test_a_subscriber_of_a_prefix_sees_its_own_keys_in_order(storage: Storage) -> None:
    seen: dict[str, list[str]] = {"/p/": [], "/p/a/": [], "/q/": [], "": []}

    def remember(prefix: str) -> Callable[[list[Change]], None]:
        return lambda changes: seen[prefix].extend(item.key for item in changes)

    unsubscribes = [storage.subscribe(remember(prefix), prefix=prefix) for prefix in seen]
    written = ["/p/1", "/px/1", "/p/a/1", "/q/1", "/p/2"]
    await asyncio.gather(*(storage.create(key, b"") for key in written))
    for unsubscribe in unsubscribes[:2]:
        unsubscribe()
    await storage.create("/p/3", b"")
    assert seen == {"/p/": ["/p/1", "/p/a/1", "/p/2"], "/p/a/": ["/p/a/1"], "/q/": ["/q/1"], "": [*written, "/p/3"]}


async def test_a_failing_subscriber_harms_neither_writers_nor_others(storage: Storage) -> None:
    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    seen: list[str] = []

    def fail(_: list[Change]) -> None:
        raise ValueError("no")

    storage.subscribe(fail)
    storage.subscribe(lambda changes: seen.extend(item.key for item in changes))
    await storage.create("/a", b"")
    assert seen == ["/a"]
    assert len(reports) == 1


async def test_conditions_hold_among_writes_that_race(storage: Storage) -> None:
    revision = await storage.create("/a", b"0")
    results = await asyncio.gather(
        *(storage.update("/a", str(number).encode(), expected_revision=revision) for number in range(20)),
        return_exceptions=True,
    )
    winners = [item for item in results if isinstance(item, int)]
    assert len(winners) == 1
    assert all(isinstance(item, int | RevisionConflictError) for item in results)
    created = await asyncio.gather(*(storage.create("/b", b"") for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(item, int) for item in created) == 1


async def test_writes_of_one_caller_commit_in_order(storage: Storage) -> None:
    async def chain(name: str) -> list[int]:
        revisions = [await storage.create(f"/{name}", b"0")]
        for number in range(10):
            revisions.append(await storage.update(f"/{name}", b"%d" % number, expected_revision=revisions[-1]))
        return revisions

    for revisions in await asyncio.gather(chain("a"), chain("b"), chain("c")):
        assert revisions == sorted(revisions)


async def test_a_key_with_a_ttl_deletes_itself(storage: Storage, clock: FakeClock) -> None:
    await storage.create("/events/a", b"e", ttl_seconds=60)
    await storage.create("/events/b", b"kept")
    deletions = storage.watch("/events/", after_revision=storage.revision)
    waiting = asyncio.ensure_future(anext(deletions))
    await asyncio.sleep(0)
    await clock.advance(45)
    assert await storage.get("/events/a") is not None
    while not waiting.done():  # the expiry loop does real reads between its turns
        await clock.advance(15)
        await storage.get("/events/b")
    change = waiting.result()[0]
    assert (change.type, change.key, change.value) == (ChangeType.DELETED, "/events/a", b"e")
    assert await keys(storage, "/events/") == ["/events/b"]


async def test_an_update_renews_or_ends_the_ttl(storage: MemoryStorage | SqliteStorage, clock: FakeClock) -> None:
    renewed = await storage.create("/e/renewed", b"", ttl_seconds=60)
    kept = await storage.create("/e/kept", b"", ttl_seconds=60)
    await storage.create("/e/old", b"", ttl_seconds=60)
    await asyncio.sleep(0)
    await clock.advance(30)
    await storage.update("/e/renewed", b"", expected_revision=renewed, ttl_seconds=60)
    await storage.update("/e/kept", b"", expected_revision=kept)
    await clock.advance(45)
    await storage.expire()
    assert await keys(storage, "/e/") == ["/e/kept", "/e/renewed"]
    await clock.advance(45)
    await storage.expire()
    assert await keys(storage, "/e/") == ["/e/kept"]


async def test_a_closed_store_refuses_writes(storage: Storage) -> None:
    await storage.create("/a", b"")
    await storage.close()
    with pytest.raises(StorageUnavailableError):
        await storage.create("/b", b"")
    await storage.close()
