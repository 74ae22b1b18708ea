"""Leader election: one works at a time, the next takes over when the Lease is old or given back."""

from __future__ import annotations

import asyncio
from random import Random

from control.api.builtin_kinds import LEASES
from control.api.clock import FakeClock
from control.api.errors import ApiError
from control.api.exchange import User
from control.client.client import Client
from control.client.leader_election import LeaderElector
from control.client.local_transport import LocalTransport
from tests.fakes.memory_endpoint import MemoryEndpoint


class Setting:
    def __init__(self) -> None:
        self.endpoint = MemoryEndpoint()
        self.clock = FakeClock()
        self.client = Client(LocalTransport(self.endpoint, User(name="tester")))
        self.working: list[str] = []
        self.most_at_once = 0
        self.tasks: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}

    def start(self, identity: str) -> None:
        elector = LeaderElector(
            self.client, name="scheduler", identity=identity, clock=self.clock, random=Random(identity)
        )

        async def work(lost: asyncio.Event) -> None:
            self.working.append(identity)
            self.most_at_once = max(self.most_at_once, len(self.working))
            await lost.wait()
            self.working.remove(identity)

        stop = asyncio.Event()
        self.tasks[identity] = (stop, asyncio.create_task(elector.run(stop, work)))

    async def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            for _ in range(20):
                await asyncio.sleep(0)
            await self.clock.advance(1)
        for _ in range(20):
            await asyncio.sleep(0)

    async def stop(self, identity: str) -> None:
        stop, task = self.tasks.pop(identity)
        stop.set()
        await task

    def holder(self) -> str:
        (lease,) = self.endpoint.objects.values()
        return str(lease["spec"]["holderIdentity"])


async def test_first_leads_and_renews_while_the_second_waits() -> None:
    setting = Setting()
    setting.start("a")
    await setting.wait(1)
    setting.start("b")
    await setting.wait(60)
    assert setting.working == ["a"]
    (lease,) = setting.endpoint.objects.values()
    assert lease["spec"]["leaseTransitions"] == 0
    assert lease["spec"]["renewTime"] > lease["spec"]["acquireTime"]
    await setting.stop("b")
    await setting.stop("a")


async def test_leader_that_stops_gives_the_lease_back() -> None:
    setting = Setting()
    setting.start("a")
    await setting.wait(1)
    setting.start("b")
    await setting.wait(3)
    await setting.stop("a")
    assert setting.holder() == ""
    await setting.wait(5)
    assert setting.working == ["b"]
    await setting.stop("b")


async def test_dead_leader_is_followed_when_its_lease_is_old() -> None:
    setting = Setting()
    lease = {
        "metadata": {"name": "scheduler", "namespace": "kube-system"},
        "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 15, "leaseTransitions": 4},
    }
    await setting.client.create(LEASES, lease)
    setting.start("a")
    await setting.wait(14)
    assert setting.working == []
    await setting.wait(6)
    assert setting.working == ["a"]
    (stored,) = setting.endpoint.objects.values()
    assert stored["spec"]["leaseTransitions"] == 5
    await setting.stop("a")


async def test_leader_that_cannot_renew_stops_before_another_begins() -> None:
    setting = Setting()
    setting.start("a")
    await setting.wait(1)
    assert setting.working == ["a"]
    setting.endpoint.fail_next(ApiError(500, "InternalError", "down"), times=6)
    await setting.wait(8)
    assert setting.working == ["a"]
    await setting.wait(5)
    assert setting.working == []
    setting.start("b")
    await setting.wait(30)
    assert setting.working == ["b"]
    assert setting.most_at_once == 1
    await setting.stop("b")
