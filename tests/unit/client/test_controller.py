"""The controller runtime: it reads its own writes, backs off alone, and records what it did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from random import Random

from control.api.clock import FakeClock
from control.api.errors import ApiError
from control.api.exchange import User
from control.api.kinds import Kind
from control.api.meta import object_key
from control.api.objects import Object, ReadOnlyObject
from control.client.client import Client
from control.client.controller import Controller, ControllerRuntime, OnFailure, Reconcile, Watch
from control.client.informer import InformerFactory
from control.client.local_transport import LocalTransport
from control.client.pace import SECONDS_PER_TURN, TURNS_AT_ONCE
from control.client.view import View
from control.client.writes import Batch, Create, Delete, Failure, Notice, Result, Update
from tests.fakes.memory_endpoint import MemoryEndpoint

PARENTS = Kind(group="", version="v1", kind="Parent", plural="parents", singular="parent", namespaced=True)
CHILDREN = Kind(group="", version="v1", kind="Child", plural="children", singular="child", namespaced=True)


class Records:
    def __init__(self) -> None:
        self.messages: list[str] = []

    def record(self, regarding: ReadOnlyObject, type: str, reason: str, message: str) -> None:
        self.messages.append(f"{type} {reason} {message}")


class Setting:
    def __init__(self) -> None:
        self.endpoint = MemoryEndpoint()
        self.client = Client(LocalTransport(self.endpoint, User(name="tester")))
        self.clock = FakeClock()
        self.records = Records()

    async def settle(self) -> None:
        for _ in range(60):
            await asyncio.sleep(0)

    async def advance(self, seconds: float, steps: int = 10) -> None:
        for _ in range(steps):
            await self.clock.advance(seconds / steps)
            await self.settle()

    @asynccontextmanager
    async def running(
        self, reconcile: Reconcile, on_failure: OnFailure | None = None, *, status_may_wait: bool = False
    ) -> AsyncIterator[None]:
        informers = InformerFactory(self.client, clock=self.clock, random=Random(1))
        controller = Controller(
            name="test",
            watches=(
                Watch(kind=PARENTS, keys=own_key, may_wait=lambda old, new: status_may_wait and None not in (old, new)),
                Watch(kind=CHILDREN, keys=parent_key),
            ),
            reconcile=reconcile,
            on_failure=on_failure,
        )
        runtime = ControllerRuntime(
            controller, client=self.client, informers=informers, clock=self.clock, recorder=self.records
        )
        stop = asyncio.Event()
        tasks = [asyncio.create_task(informers.run(stop)), asyncio.create_task(runtime.run(stop))]
        await self.settle()
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    def names(self, kind: Kind) -> list[str]:
        return sorted(key[3] for key in self.endpoint.objects if key[1] == kind.plural)


def own_key(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    return (object_key(new or old or {}),)


def parent_key(old: Object | None, new: Object | None, view: View) -> Iterable[str]:
    return (f"default/{(new or old or {})['metadata']['generateName'].rstrip('-')}",)


def make(kind: Kind, **metadata: str) -> Object:
    return {"apiVersion": "v1", "kind": kind.kind, "metadata": {"namespace": "default", **metadata}}


def keep_children(count: int) -> Callable[[str, View, datetime], Result]:
    """A controller that keeps `count` children; without the barrier it would make too many."""

    def reconcile(key: str, view: View, now: datetime) -> Result:
        parent = view.find_key(PARENTS, key)
        if parent is None:
            return Result()
        missing = count - len(list(view.list(CHILDREN)))
        child = make(CHILDREN, generateName=f"{parent['metadata']['name']}-")
        notice = Notice(regarding=parent, reason="Created", message="made {name}")
        failure = Notice(regarding=parent, type="Warning", reason="Failed", message="no: {error}")
        create = Create(kind=CHILDREN, obj=child, cause="missing", success=notice, failure=failure)
        return Result(steps=[Batch(writes=[create] * max(0, missing), slow_start=True)] if missing > 0 else [])

    return reconcile


async def test_key_is_not_reconciled_before_its_own_writes_are_seen() -> None:
    setting = Setting()
    async with setting.running(keep_children(5)):
        setting.endpoint.watch_delay = asyncio.Event()
        parent = await setting.client.create(PARENTS, make(PARENTS, name="p"))
        setting.endpoint.watch_delay.set()
        await setting.settle()
        setting.endpoint.watch_delay = asyncio.Event()  # watches stand still from here
        for number in range(5):
            parent = await setting.client.update(PARENTS, {**parent, "data": {"n": number}})
            await setting.settle()
        setting.endpoint.watch_delay.set()
        await setting.settle()
        assert len(setting.names(CHILDREN)) == 5
    assert sorted(setting.records.messages) == [f"Normal Created made {name}" for name in setting.names(CHILDREN)]


async def test_deleted_object_is_not_counted_again() -> None:
    setting = Setting()
    deletions: list[str] = []

    def reconcile(key: str, view: View, now: datetime) -> Result:
        children = sorted(view.list(CHILDREN), key=lambda child: str(child["metadata"]["name"]))
        doomed = children[2:]
        deletions.extend(child["metadata"]["name"] for child in doomed)
        return Result(
            steps=[
                Delete(
                    kind=CHILDREN,
                    namespace="default",
                    name=child["metadata"]["name"],
                    uid=child["metadata"]["uid"],
                    cause="too many",
                )
                for child in doomed
            ]
        )

    await setting.client.create(PARENTS, make(PARENTS, name="p"))
    for _ in range(4):
        await setting.client.create(CHILDREN, make(CHILDREN, generateName="p-"))
    async with setting.running(reconcile):
        await setting.settle()
        assert len(setting.names(CHILDREN)) == 2
    assert len(deletions) == len(set(deletions)) == 2


async def test_slow_start_stops_at_the_first_refused_batch() -> None:
    setting = Setting()
    failures: list[Failure] = []

    def on_failure(key: str, view: View, now: datetime, failed: Sequence[Failure]) -> Result:
        failures.extend(failed)
        parent = view.find_key(PARENTS, key)
        assert parent is not None
        return Result(steps=[Update(kind=PARENTS, obj={**parent, "status": {"failed": True}}, cause="refused")])

    async with setting.running(keep_children(100), on_failure):
        setting.endpoint.fail_next(ApiError(403, "Forbidden", "quota"), times=1000, path_part="/children")
        await setting.client.create(PARENTS, make(PARENTS, name="p"))
        await setting.settle()
        attempts = [request for request in setting.endpoint.requests if request.path.endswith("/children")]
        tries = [request for request in attempts if request.method == "POST"]
        assert len(tries) == 2  # the status that tells of the failure wakes the key once more
        assert setting.records.messages == ["Warning Failed no: quota"] * 2
        assert failures[0].skipped == 99
        assert setting.endpoint.objects[("", "parents", "default", "p")]["status"] == {"failed": True}


async def test_failing_key_backs_off_and_others_go_on() -> None:
    setting = Setting()
    seen: list[str] = []

    def reconcile(key: str, view: View, now: datetime) -> Result:
        seen.append(key)
        if key == "default/bad":
            raise KeyError("nonsense")
        return Result()

    async with setting.running(reconcile):
        await setting.client.create(PARENTS, make(PARENTS, name="bad"))
        await setting.client.create(PARENTS, make(PARENTS, name="good"))
        await setting.settle()
        assert sorted(set(seen)) == ["default/bad", "default/good"]
        await setting.advance(0.2, steps=40)
    assert 4 <= seen.count("default/bad") <= 7
    assert seen.count("default/good") == 1


async def test_requeue_after_brings_the_key_back() -> None:
    setting = Setting()
    times: list[float] = []

    def reconcile(key: str, view: View, now: datetime) -> Result:
        times.append(setting.clock.monotonic())
        return Result(requeue_after=10 if len(times) == 1 else None)

    async with setting.running(reconcile):
        await setting.client.create(PARENTS, make(PARENTS, name="p"))
        await setting.settle()
        await setting.advance(30, steps=30)
    assert times == [0, 10]


async def test_crowd_of_changes_that_may_wait_is_folded_into_few_turns() -> None:
    setting = Setting()
    seen: list[int] = []

    def reconcile(key: str, view: View, now: datetime) -> Result:
        parent = view.find_key(PARENTS, key)
        seen.append(parent["status"]["n"] if parent else -1)
        return Result()

    async with setting.running(reconcile, status_may_wait=True):
        parent = await setting.client.create(PARENTS, {**make(PARENTS, name="p"), "status": {"n": 0}})
        await setting.settle()
        for number in range(1, 51):
            parent = await setting.client.update(PARENTS, {**parent, "status": {"n": number}})
            await setting.settle()
        assert seen == list(range(TURNS_AT_ONCE))
        await setting.advance(SECONDS_PER_TURN)
        assert seen[TURNS_AT_ONCE:] == [50]
        await setting.client.delete(PARENTS, "p", namespace="default")
        await setting.settle()
    assert seen[-1] == -1


async def test_creation_in_a_terminating_namespace_is_not_retried() -> None:
    setting = Setting()
    details = {"causes": [{"reason": "NamespaceTerminating", "message": "x", "field": "metadata.namespace"}]}
    async with setting.running(keep_children(1)):
        setting.endpoint.fail_next(ApiError(403, "Forbidden", "x", details=details), times=9, path_part="/children")
        await setting.client.create(PARENTS, make(PARENTS, name="p"))
        await setting.settle()
        await setting.advance(10)
    assert len([request for request in setting.endpoint.requests if request.path.endswith("/children")]) == 3
    assert setting.records.messages == []
