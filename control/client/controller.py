"""The controller runtime: informers → work queue → pure `reconcile` → apply.

It keeps three promises, so that no controller has to: a key is never reconciled twice at a time; after a write it is
not reconciled again before the informers show that write (no expectations); a failing key backs off alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from control.api.clock import Clock
from control.api.errors import ApiError
from control.api.kinds import Kind
from control.api.meta import object_key
from control.api.objects import Object
from control.client.client import Client
from control.client.informer import Informer, InformerFactory
from control.client.queue_workers import QueueWorkers
from control.client.running import run_until
from control.client.transport import ServerUnavailableError
from control.client.view import View
from control.client.work_queue import WorkQueue
from control.client.writes import (
    Applied,
    Batch,
    Create,
    Delete,
    Failure,
    Notice,
    Patch,
    Recorder,
    Result,
    Step,
    Update,
    Write,
    apply_write,
    describe,
)

logger = logging.getLogger(__name__)

#: Writes of one batch that are in flight together.
WRITES_IN_FLIGHT_MAX = 32

KeyFunction = Callable[[Object | None, Object | None, View], Iterable[str]]
ChangeFilter = Callable[[Object | None, Object | None], bool]
Reconcile = Callable[[str, View, datetime], Result]
OnFailure = Callable[[str, View, datetime, Sequence[Failure]], Result]


def present_key(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    """The `KeyFunction` of a controller that cares for objects themselves, and not for those that are gone."""
    return (object_key(new),) if new is not None else ()


def _never(old: Object | None, new: Object | None) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A kind whose changes matter: `keys(old, new, view)` names the keys to reconcile then.

    `may_wait(old, new)` tells changes by which nothing but a status gets old: the first of them are reconciled at
    once, those of a crowd a few times a second.
    """

    kind: Kind
    keys: KeyFunction
    may_wait: ChangeFilter = _never


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """A controller as data. `reads` are kinds it looks at without being woken by them.

    `on_failure` decides what follows from refused writes (a condition in a status); the key is retried in any case.
    """

    name: str
    watches: tuple[Watch, ...]
    reconcile: Reconcile
    reads: tuple[Kind, ...] = ()
    on_failure: OnFailure | None = None
    workers: int = 5


@dataclass(frozen=True, slots=True)
class _Seen:
    """A write the informer must show: a version reached, or (`uid`) an object gone or going."""

    informer: Informer
    revision: int = 0
    key: str = ""
    uid: str = ""

    def is_reached(self) -> bool:
        if not self.uid:
            return self.informer.revision >= self.revision
        obj = self.informer.store.find(self.key)
        return obj is None or obj["metadata"].get("uid") != self.uid or "deletionTimestamp" in obj["metadata"]


class ControllerRuntime:
    """Runs one `Controller` over shared informers with one client."""

    def __init__(
        self,
        controller: Controller,
        *,
        client: Client,
        informers: InformerFactory,
        clock: Clock,
        recorder: Recorder,
    ) -> None:
        self.controller = controller
        self.queue = WorkQueue(clock)
        self._client = client
        self._clock = clock
        self._recorder = recorder
        kinds = [watch.kind for watch in controller.watches] + list(controller.reads)
        self._informers = {(kind.group, kind.plural): informers.informer(kind) for kind in kinds}
        self.view = View({informer.kind: informer.store for informer in self._informers.values()})
        self._awaited: dict[str, list[_Seen]] = {}
        self._parked: dict[str, None] = {}
        self._errors: dict[str, str] = {}
        self._workers = QueueWorkers(self.queue, clock, work=self._reconcile, note_failure=self._note_error)
        self._in_flight = asyncio.Semaphore(WRITES_IN_FLIGHT_MAX)

    async def run(self, stop: asyncio.Event) -> None:
        """Reconcile until stopped."""
        await run_until(stop, self._run())

    async def _run(self) -> None:
        for informer in self._informers.values():
            await informer.wait_synced()
            informer.on_progress(self._release_parked)
        for watch in self.controller.watches:
            self._informers[(watch.kind.group, watch.kind.plural)].add_handler(self._handler_of(watch))
        await self._workers.run(self.controller.workers)

    def _handler_of(self, watch: Watch) -> Callable[[Object | None, Object | None], None]:
        def enqueue(old: Object | None, new: Object | None) -> None:
            add = self.queue.add_paced if watch.may_wait(old, new) else self.queue.add
            for key in sorted(watch.keys(old, new, self.view)):
                add(key)

        return enqueue

    async def _reconcile(self, key: str) -> None:
        if not self._shows_own_writes(key):
            self._parked[key] = None
            return
        result = self.controller.reconcile(key, self.view, self._clock.now())
        applied = await self._apply(key, result.steps)
        if applied.failures:
            if self.controller.on_failure is not None:
                follow_up = self.controller.on_failure(key, self.view, self._clock.now(), applied.failures)
                await self._apply(key, follow_up.steps)
            raise applied.failures[0].error
        self.queue.forget(key)
        self._errors.pop(key, None)
        if result.requeue_after is not None:
            self.queue.add_after(key, result.requeue_after)

    async def _apply(self, key: str, steps: Sequence[Step]) -> Applied:
        """Carry steps out in order; the first that fails ends it."""
        applied = Applied()
        for step in steps:
            if isinstance(step, Notice):
                self._recorder.record(step.regarding, step.type, step.reason, step.message)
            elif isinstance(step, Batch):
                await self._apply_batch(key, step, applied)
            else:
                await self._apply_one(key, step, applied)
            if applied.failures:
                break
        return applied

    async def _apply_batch(self, key: str, batch: Batch, applied: Applied) -> None:
        remaining = list(batch.writes)
        size = 1 if batch.slow_start else len(remaining)
        while remaining:
            now, remaining = remaining[:size], remaining[size:]
            failures_before = len(applied.failures)
            await asyncio.gather(*(self._apply_one(key, write, applied) for write in now))
            if len(applied.failures) > failures_before:
                applied.failures[-1] = Failure(
                    write=applied.failures[-1].write, error=applied.failures[-1].error, skipped=len(remaining)
                )
                return
            size *= 2

    async def _apply_one(self, key: str, write: Write, applied: Applied) -> None:
        try:
            async with self._in_flight:
                answer = await apply_write(self._client, write)
        except (ApiError, ServerUnavailableError) as error:
            if _is_done_anyway(write, error):
                return
            applied.failures.append(Failure(write=write, error=error))
            if write.failure is not None:
                self._record(write.failure, name=_name_of(write, None), error=str(error))
            return
        logger.info("Applied controller=%s write=%s cause=%s", self.controller.name, describe(write), write.cause)
        applied.written.append((write, answer))
        self._await_write(key, write, answer)
        if write.success is not None:
            self._record(write.success, name=_name_of(write, answer), error="")

    def _record(self, notice: Notice, *, name: str, error: str) -> None:
        message = notice.message.replace("{name}", name).replace("{error}", error)
        self._recorder.record(notice.regarding, notice.type, notice.reason, message)

    def _await_write(self, key: str, write: Write, answer: Object) -> None:
        informer = self._informers.get((write.kind.group, write.kind.plural))
        if informer is None:
            return
        if isinstance(write, Delete):
            object_key = f"{write.namespace}/{write.name}" if write.namespace else write.name
            present = informer.store.find(object_key)
            if present is not None:
                uid = write.uid or present["metadata"]["uid"]
                self._awaited.setdefault(key, []).append(_Seen(informer, key=object_key, uid=uid))
        elif version := answer.get("metadata", {}).get("resourceVersion"):
            self._awaited.setdefault(key, []).append(_Seen(informer, revision=int(version)))

    def _shows_own_writes(self, key: str) -> bool:
        awaited = self._awaited.get(key)
        if awaited is None:
            return True
        pending = [seen for seen in awaited if not seen.is_reached()]
        if pending:
            self._awaited[key] = pending
            return False
        del self._awaited[key]
        return True

    def _release_parked(self) -> None:
        for key in [key for key in self._parked if self._shows_own_writes(key)]:
            del self._parked[key]
            self.queue.add(key)

    def _note_error(self, key: str, error: Exception) -> None:
        """Log an error once; the same one again, or a lost race, is no news."""
        text = f"{type(error).__name__}: {error}"
        known = self._errors.get(key) == text
        self._errors[key] = text
        is_conflict = isinstance(error, ApiError) and error.reason == "Conflict"
        level = logging.DEBUG if known or is_conflict else logging.WARNING
        is_foreseen = isinstance(error, ApiError | ServerUnavailableError)
        logger.log(
            level,
            "Failed to reconcile controller=%s key=%s error=%s",
            self.controller.name,
            key,
            error,
            exc_info=None if is_foreseen or known else error,
        )


def _name_of(write: Write, answer: Object | None) -> str:
    if answer is not None and isinstance(write, Create):
        return str(answer["metadata"]["name"])
    if isinstance(write, Create | Update):
        return str(write.obj["metadata"].get("name", ""))
    return write.name


def _is_done_anyway(write: Write, error: Exception) -> bool:
    """A change to something gone, or a creation in a namespace that is going: nothing is left to do."""
    if not isinstance(error, ApiError):
        return False
    if isinstance(write, Delete | Update) or (isinstance(write, Patch) and write.ignore_missing):
        return error.code == 404
    if isinstance(write, Create):
        causes = (error.details or {}).get("causes") or ()
        return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
    return False
