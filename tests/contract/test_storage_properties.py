"""Random histories: the SQLite store and the memory store answer alike, whatever is done to them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from control.api.clock import FakeClock
from control.storage.memory import MemoryStorage
from control.storage.protocol import Change, StorageError
from control.storage.sqlite import SqliteStorage

keys = st.sampled_from(["/a/1", "/a/2", "/a/2/x", "/ab/1", "/b/1", "/b/ä"])
prefixes = st.sampled_from(["/", "/a/", "/ab/", "/b/", "/none/"])
values = st.binary(max_size=8)
ttls = st.one_of(st.none(), st.integers(1, 40))
Store = MemoryStorage | SqliteStorage


async def outcome(work: Coroutine[Any, Any, Any]) -> Any:
    """The result, or the error as something that compares."""
    try:
        return await work
    except StorageError as error:
        return type(error).__name__, str(error)


class StoresAgree(RuleBasedStateMachine):
    """Every operation on both stores, every answer compared."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.changes: dict[str, list[Change]] = {"memory": [], "sqlite": []}
        self.revisions: list[int] = []

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def open(self) -> None:
        async def make() -> MemoryStorage:
            return MemoryStorage(clock=self.clock)

        self.memory: Store = self.run(make())
        self.sqlite: Store = self.run(SqliteStorage.open(self.folder / "s.db", clock=self.clock))
        self.memory.subscribe(self.changes["memory"].extend)
        self.sqlite.subscribe(self.changes["sqlite"].extend)

    def both(self, work: Callable[[Store], Coroutine[Any, Any, Any]]) -> Any:
        expected = self.run(outcome(work(self.memory)))
        assert self.run(outcome(work(self.sqlite))) == expected
        return expected

    @rule(key=keys, value=values, ttl=ttls)
    def create(self, key: str, value: bytes, ttl: int | None) -> None:
        revision = self.both(lambda store: store.create(key, value, ttl_seconds=ttl))
        if isinstance(revision, int):
            self.revisions.append(revision)

    @rule(key=keys, value=values, ttl=ttls, is_stale=st.booleans())
    def update(self, key: str, value: bytes, ttl: int | None, is_stale: bool) -> None:
        stored = self.run(self.memory.get(key))
        expected = (stored.revision if stored else 0) - is_stale
        self.both(lambda store: store.update(key, value, expected_revision=expected, ttl_seconds=ttl))

    @rule(key=keys, is_checked=st.booleans())
    def delete(self, key: str, is_checked: bool) -> None:
        stored = self.run(self.memory.get(key))
        expected = stored.revision if stored and is_checked else None
        self.both(lambda store: store.delete(key, expected_revision=expected))

    @rule(seconds=st.integers(1, 30))
    def expire(self, seconds: int) -> None:
        # Not `advance`: the stores' own timers would expire at moments that differ.
        self.clock._elapsed += seconds
        self.both(lambda store: store.expire())

    @rule(key=keys)
    def get(self, key: str) -> None:
        self.both(lambda store: store.get(key))

    @rule(prefix=prefixes, limit=st.one_of(st.none(), st.integers(1, 4)), after=st.sampled_from(["", "/a/1", "/b/"]))
    def list_now(self, prefix: str, limit: int | None, after: str) -> None:
        self.both(lambda store: store.list_prefix(prefix, limit=limit, start_after=after))

    @rule(prefix=prefixes, limit=st.one_of(st.none(), st.integers(1, 4)), back=st.integers(-1, 12))
    def list_then(self, prefix: str, limit: int | None, back: int) -> None:
        revision = max(1, self.memory.revision - back)
        self.both(lambda store: store.list_prefix(prefix, limit=limit, revision=revision))

    @rule(back=st.integers(-1, 8))
    def compact(self, back: int) -> None:
        revision = max(1, self.memory.revision - back)
        self.both(lambda store: store.compact(revision))

    @rule(prefix=prefixes, back=st.integers(1, 8))
    def read_history(self, prefix: str, back: int) -> None:
        after = max(1, self.memory.revision - back)
        wanted = [item for item in self.changes["memory"] if item.revision > after and item.key.startswith(prefix)]

        async def first_batch(store: Store) -> list[Change]:
            watch = store.watch(prefix, after_revision=after)
            return await anext(watch)

        if wanted:
            self.both(first_batch)

    @rule()
    def reopen(self) -> None:
        self.run(self.sqlite.close())
        self.sqlite = self.run(SqliteStorage.open(self.folder / "s.db", clock=self.clock))
        self.sqlite.subscribe(self.changes["sqlite"].extend)

    @invariant()
    def same_revision_and_changes(self) -> None:
        if hasattr(self, "sqlite"):
            assert self.sqlite.revision == self.memory.revision
            assert self.changes["sqlite"] == self.changes["memory"]

    def teardown(self) -> None:
        if hasattr(self, "sqlite"):
            self.run(self.sqlite.close())
            self.run(self.memory.close())
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        shutil.rmtree(self.folder)


TestStoresAgree = StoresAgree.TestCase
TestStoresAgree.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
