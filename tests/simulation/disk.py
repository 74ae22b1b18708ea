"""The disk of the control plane: what a store has written outlives the process that wrote it.

The durable state is a `MemoryStorage`, the reference of the storage contract. `ProcessStorage` is what one life of the
control plane opens: a write takes a while to reach the disk, is published when it is there, and only then returns. A
kill in between leaves the write done or not done, but never half.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from random import Random
from typing import Any

from control.storage.memory import MemoryStorage
from control.storage.protocol import Change, ListResult, StorageUnavailableError, StoredValue
from tests.simulation.simulated_process import SimulatedProcess, end_if_dead


class Disk:
    """The durable state, and what is wrong with the medium."""

    def __init__(self, storage: MemoryStorage, random: Random) -> None:
        self.storage = storage
        self.is_full = False
        self.write_seconds_max = 0.002
        self.random = random

    def open(self, process: SimulatedProcess) -> ProcessStorage:
        """Open the store as a process."""
        return ProcessStorage(self, process)


class ProcessStorage:
    """Implements `Storage` for one life of a process."""

    def __init__(self, disk: Disk, process: SimulatedProcess) -> None:
        self._disk = disk
        self._storage = disk.storage
        self._process = process
        self._unsubscribes: list[Callable[[], None]] = []
        self._waiting: dict[Coroutine[Any, Any, int], None] = {}
        process.on_kill.append(self._crash)

    @property
    def revision(self) -> int:
        """The newest committed revision."""
        return self._storage.revision

    async def create(self, key: str, value: bytes, *, ttl_seconds: int | None = None) -> int:
        """Write a new key."""
        return await self._write(self._storage.create(key, value, ttl_seconds=ttl_seconds))

    async def update(self, key: str, value: bytes, *, expected_revision: int, ttl_seconds: int | None = None) -> int:
        """Replace a value."""
        return await self._write(
            self._storage.update(key, value, expected_revision=expected_revision, ttl_seconds=ttl_seconds)
        )

    async def delete(self, key: str, *, expected_revision: int | None = None) -> int:
        """Delete a key."""
        return await self._write(self._storage.delete(key, expected_revision=expected_revision))

    async def get(self, key: str) -> StoredValue | None:
        """The current value."""
        return await self._storage.get(key)

    async def list_prefix(
        self, prefix: str, *, limit: int | None = None, start_after: str = "", revision: int | None = None
    ) -> ListResult:
        """List keys."""
        return await self._storage.list_prefix(prefix, limit=limit, start_after=start_after, revision=revision)

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[list[Change]]:
        """Yield changes."""
        return self._storage.watch(prefix, after_revision=after_revision)

    def subscribe(self, callback: Callable[[list[Change]], None], *, prefix: str = "") -> Callable[[], None]:
        """Call back with every change, until the process is killed."""
        unsubscribe = self._storage.subscribe(callback, prefix=prefix)
        self._unsubscribes.append(unsubscribe)
        return unsubscribe

    async def compact(self, revision: int) -> None:
        """Forget old changes."""
        await self._storage.compact(revision)

    async def close(self) -> None:
        """Nothing is held."""

    async def _write(self, commit: Coroutine[Any, Any, int]) -> int:
        await end_if_dead(self._process)
        disk = self._disk
        self._waiting[commit] = None
        try:
            await asyncio.sleep(0.0001 + disk.random.random() * disk.write_seconds_max)
        finally:
            self._waiting.pop(commit, None)
            if not self._process.is_alive:
                commit.close()
        if disk.is_full:
            commit.close()
            raise StorageUnavailableError("the disk is full")
        return await commit

    def _crash(self) -> None:
        """The process is gone. What it had handed to the disk may have got there, in the order it was handed over."""
        for unsubscribe in self._unsubscribes:
            unsubscribe()
        for commit in list(self._waiting):
            if self._disk.random.random() < 0.5:
                _finish(commit)
        self._waiting.clear()


def _finish(commit: Coroutine[Any, Any, int]) -> None:
    """Run a commit to its end. A lost race is as good as a write that did not happen."""
    try:
        commit.send(None)
    except (StopIteration, Exception):
        return
