"""`Informer`: a store of one kind kept equal to the server's by list and watch; `InformerFactory` shares them.

Every controller, the scheduler and the agent read the world through these. Order is the server's: handlers run
synchronously, event by event, after the store has the event. The store never goes back in time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from random import Random
from typing import Any, cast

from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.exchange import WatchEvent
from control.api.kinds import Kind
from control.api.meta import object_key
from control.api.objects import Object
from control.client.client import Client
from control.client.running import run_until
from control.client.store import Store
from control.client.transport import ServerUnavailableError

logger = logging.getLogger(__name__)

#: old and new object; old is None for an addition, new is None for a deletion
EventHandler = Callable[[Object | None, Object | None], None]

BACKOFF_SECONDS_FIRST = 0.2
BACKOFF_SECONDS_MAX = 15.0
WATCH_SECONDS_MIN = 300
#: A loop step gives the event loop back after this long.
STEP_SECONDS_MAX = 0.005


class Informer:
    """List, then watch from there; resume after a disconnect; list again after 410 Gone."""

    def __init__(
        self,
        client: Client,
        kind: Kind,
        *,
        clock: Clock,
        random: Random,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> None:
        self.kind = kind
        self.store = Store()
        #: newest resourceVersion whose effect the store shows; 0 before the first list
        self.revision = 0
        self._client = client
        self._clock = clock
        self._random = random
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._handlers: list[EventHandler] = []
        self._progress: list[Callable[[], None]] = []
        self._synced = asyncio.Event()
        self._resume_at = ""
        self._needs_list = True
        self._failures = 0

    @property
    def has_synced(self) -> bool:
        """True once the first list is in the store and the handlers have seen it."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return when the first list is in the store."""
        await self._synced.wait()

    def add_handler(self, handler: EventHandler) -> None:
        """Call `handler(old, new)` for every change; a late handler first sees the present objects as additions."""
        self._handlers.append(handler)
        for obj in self.store:
            self._call(handler, None, obj)

    def on_progress(self, callback: Callable[[], None]) -> None:
        """Call back after every batch, when `revision` has moved on."""
        self._progress.append(callback)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the store current until stopped."""
        await run_until(stop, self._loop())

    async def _loop(self) -> None:
        while True:
            started = self._clock.monotonic()
            try:
                moved = await self.step()
            except (ApiError, ServerUnavailableError) as error:
                self._note_failure(error)
            except Exception:
                # An answer nobody foresaw must not end the watch for good.
                logger.exception("Watch failed kind=%s", self.kind.plural)
                self._needs_list = True
                self._failures += 1
            else:
                # A watch that ends at once without an event is a server in trouble, not a time-out.
                self._failures = 0 if moved or self._clock.monotonic() - started > 1 else self._failures + 1
            if self._failures:
                await self._clock.sleep(self._backoff_seconds())

    async def step(self) -> bool:
        """List if needed, then follow one watch to its end. Returns whether anything was received."""
        listed = self._needs_list
        if listed:
            await self._list()
        moved = await self._watch()
        return listed or moved

    def _note_failure(self, error: ApiError | ServerUnavailableError) -> None:
        if isinstance(error, ApiError) and error.code in (410, 504):
            # 410: our version is compacted away; 504: it is ahead of the server's, whose state was replaced.
            self._needs_list = True
            self._resume_at = ""
        self._failures += 1
        level = logging.WARNING if self._failures == 1 else logging.DEBUG
        logger.log(level, "Lost a watch kind=%s failures=%d error=%s", self.kind.plural, self._failures, error)

    def _backoff_seconds(self) -> float:
        exponential = BACKOFF_SECONDS_FIRST * 2.0 ** min(self._failures - 1, 16)
        return min(exponential, BACKOFF_SECONDS_MAX) * (1 + self._random.random())

    async def _list(self) -> None:
        answer = await self._client.list(
            self.kind,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            resource_version="" if self.has_synced else "0",
        )
        await self._replace(answer.get("items") or [])
        self._resume_at = answer["metadata"]["resourceVersion"]
        self._needs_list = False
        self._advance(self._resume_at)
        self._synced.set()
        self._report_progress()

    async def _replace(self, items: list[Object]) -> None:
        listed = [self._typed(item) for item in items]
        keys = {object_key(item) for item in listed}
        deadline = self._clock.monotonic() + STEP_SECONDS_MAX
        for key in sorted(self.store.keys() - keys):
            self._remove(key)
        for item in listed:
            self._put(item)
            deadline = await self._yield_after(deadline)

    async def _watch(self) -> bool:
        moved = False
        batches = self._client.watch(
            self.kind,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            resource_version=self._resume_at,
            timeout_seconds=int(WATCH_SECONDS_MIN * (1 + self._random.random())),
        )
        async with aclosing(cast("Any", batches)) as stream:
            async for batch in cast("AsyncIterator[list[WatchEvent]]", stream):
                await self._apply(batch)
                moved = True
                self._failures = 0
        return moved

    async def _apply(self, batch: list[WatchEvent]) -> None:
        deadline = self._clock.monotonic() + STEP_SECONDS_MAX
        for event in batch:
            if event.type == "DELETED":
                self._remove(object_key(event.object), event.object)
            elif event.type != "BOOKMARK":
                self._put(self._typed(event.object))
            self._resume_at = event.object["metadata"]["resourceVersion"]
            self._advance(self._resume_at)
            deadline = await self._yield_after(deadline)
        self._report_progress()

    async def _yield_after(self, deadline: float) -> float:
        if self._clock.monotonic() < deadline:
            return deadline
        self._report_progress()
        await asyncio.sleep(0)
        return self._clock.monotonic() + STEP_SECONDS_MAX

    def _typed(self, obj: Object) -> Object:
        """List items of built-in kinds carry no kind and apiVersion; readers of the store may rely on both."""
        if "kind" in obj:
            return obj
        return {"apiVersion": self.kind.api_version, "kind": self.kind.kind, **obj}

    def _put(self, obj: Object) -> None:
        key = object_key(obj)
        old = self.store.find(key)
        if old is not None:
            old_metadata, metadata = old["metadata"], obj["metadata"]
            if old_metadata.get("resourceVersion") == metadata.get("resourceVersion"):
                return
            if old_metadata.get("uid") != metadata.get("uid"):
                self._remove(key)
                old = None
        self.store.put(obj)
        self._notify(old, obj)

    def _remove(self, key: str, last: Object | None = None) -> None:
        """Forget an object; handlers get its last state, as the deletion event had it where there was one."""
        old = self.store.remove(key)
        if old is not None:
            self._notify(old if last is None else self._typed(last), None)

    def _notify(self, old: Object | None, new: Object | None) -> None:
        for handler in self._handlers:
            self._call(handler, old, new)

    def _call(self, handler: EventHandler, old: Object | None, new: Object | None) -> None:
        try:
            handler(old, new)
        except Exception:
            logger.exception("Handler failed kind=%s key=%s", self.kind.plural, object_key(new or old or {}))

    def _advance(self, resource_version: str) -> None:
        # Versions of one cluster are ordered integers (KEP-5504); a relist may answer an older one from a cache.
        self.revision = max(self.revision, int(resource_version))

    def _report_progress(self) -> None:
        for callback in self._progress:
            callback()


class InformerFactory:
    """One informer per kind for a whole process, so that every reader shares one decoded store."""

    def __init__(self, client: Client, *, clock: Clock, random: Random) -> None:
        self._client = client
        self._clock = clock
        self._random = random
        self._informers: dict[tuple[str, str], Informer] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._stop: asyncio.Event | None = None

    def informer(self, kind: Kind) -> Informer:
        """Return the informer of a kind, made on first use; one made while the factory runs starts at once."""
        name = (kind.group, kind.plural)
        informer = self._informers.get(name)
        if informer is None:
            informer = Informer(self._client, kind, clock=self._clock, random=self._random)
            self._informers[name] = informer
            if self._stop is not None:
                self._start(name)
        return informer

    async def wait_synced(self) -> None:
        """Return when every informer asked for so far has its first list."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    async def run(self, stop: asyncio.Event) -> None:
        """Run all informers until stopped."""
        self._stop = stop
        for name in self._informers:
            self._start(name)
        try:
            await stop.wait()
        finally:
            self._stop = None
            tasks = list(self._tasks.values())
            self._tasks.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, name: tuple[str, str]) -> None:
        assert self._stop is not None
        self._tasks[name] = asyncio.create_task(self._informers[name].run(self._stop))
