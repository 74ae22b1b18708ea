"""Leader election: one works at a time, the next takes over when the Lease is old or given back."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from control.api.builtin_kinds import CONFIG_MAPS, LEASES
from control.api.clock import FakeClock
from control.api.errors import ApiError
from control.api.exchange import ApiRequest, ApiResponse, User
from control.api.objects import ReadOnlyObject
from control.client.client import Client
from control.client.fence import Fence
from control.client.leader_election import ElectionTimings, LeaderElector
from control.client.local_transport import LocalTransport
from control.client.transport import ServerUnavailableError
from tests.fakes.memory_endpoint import MemoryEndpoint

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "d"}}


class PassingClock(FakeClock):
    """Time may also pass without anybody waking, as it does for a process that is stopped."""

    def pass_unnoticed(self, seconds: float) -> None:
        self._elapsed += seconds


class Setting:
    def __init__(self) -> None:
        self.endpoint = MemoryEndpoint()
        self.clock = PassingClock()
        self.client = Client(LocalTransport(self._answer, User(name="tester")))
        self.answers = asyncio.Event()
        self.answers.set()
        self.notices: list[str] = []
        self.stubborn = False
        self.timings = ElectionTimings()
        self.working: list[str] = []
        self.most_at_once = 0
        self.tasks: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}

    def start(self, identity: str, fence: Fence | None = None) -> None:
        elector = LeaderElector(
            self.client,
            name="scheduler",
            identity=identity,
            clock=self.clock,
            random=Random(identity),
            timings=self.timings,
            recorder=self,
        )

        if fence is not None:
            fence.may_write = elector.may_act

        async def work(lost: asyncio.Event) -> None:
            self.working.append(identity)
            self.most_at_once = max(self.most_at_once, len(self.working))
            try:
                await (asyncio.Event() if self.stubborn else lost).wait()
            finally:
                self.working.remove(identity)

        stop = asyncio.Event()
        self.tasks[identity] = (stop, asyncio.create_task(elector.run(stop, work)))

    async def _answer(self, request: ApiRequest) -> ApiResponse:
        await self.answers.wait()
        return await self.endpoint(request)

    def record(self, regarding: ReadOnlyObject, type: str, reason: str, message: str) -> None:
        self.notices.append(f"{regarding['kind']} {type} {reason}: {message}")

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
        lease = self.endpoint.objects["coordination.k8s.io", "leases", "kube-system", "scheduler"]
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


async def test_a_process_takes_the_lease_of_its_own_name_back_at_once() -> None:
    setting = Setting()
    lease = {
        "metadata": {"name": "scheduler", "namespace": "kube-system"},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 60, "leaseTransitions": 4},
    }
    await setting.client.create(LEASES, lease)
    setting.start("a")
    await setting.wait(0)
    assert setting.working == ["a"]
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


async def test_leader_whose_server_hangs_stops_before_its_lease_is_old() -> None:
    setting = Setting()
    setting.start("a")
    await setting.wait(5)
    setting.answers.clear()
    await setting.wait(8)
    assert setting.working == ["a"]
    await setting.wait(4)
    assert setting.working == []
    await setting.stop("a")


async def test_a_leader_that_was_stopped_for_longer_than_its_lease_writes_nothing() -> None:
    setting = Setting()
    fence = Fence()
    fenced = Client(fence.around(LocalTransport(setting.endpoint, User(name="tester"))))
    setting.start("a", fence)
    with pytest.raises(ServerUnavailableError, match="leads no longer"):
        await fenced.create(CONFIG_MAPS, CONFIG_MAP)
    await setting.wait(1)
    await fenced.create(CONFIG_MAPS, CONFIG_MAP)
    # Nothing of the process runs while time passes: the loop's first step after it is the write.
    setting.clock.pass_unnoticed(15)
    with pytest.raises(ServerUnavailableError, match="cannot DELETE"):
        await fenced.delete(CONFIG_MAPS, "c", namespace="d")
    assert await fenced.get(CONFIG_MAPS, "c", namespace="d")
    await setting.stop("a")


async def test_in_the_api_servers_own_process_only_another_holder_ends_the_work() -> None:
    setting = Setting()
    setting.timings = ElectionTimings(ends_unrenewed=False)
    setting.start("a")
    await setting.wait(1)
    setting.endpoint.fail_next(ApiError(500, "InternalError", "disk full"), times=1000, method="PUT")
    await setting.wait(300)
    assert setting.working == ["a"]
    setting.answers.clear()
    await setting.wait(300)
    assert setting.working == ["a"]
    setting.answers.set()
    setting.endpoint.faults.clear()
    lease = await setting.client.get(LEASES, "scheduler", namespace="kube-system")
    await setting.client.update(LEASES, {**lease, "spec": {**lease["spec"], "holderIdentity": "other"}})
    await setting.wait(3)
    assert setting.working == []
    await setting.stop("a")


async def test_work_that_does_not_end_is_cancelled_before_another_begins() -> None:
    setting = Setting()
    setting.stubborn = True
    setting.start("a")
    await setting.wait(1)
    setting.answers.clear()
    await setting.wait(11)
    assert setting.working == ["a"], "it is given time to end by itself"
    await setting.wait(5)
    assert setting.working == []
    setting.answers.set()
    setting.start("b")
    await setting.wait(30)
    assert setting.working == ["b"]
    assert setting.most_at_once == 1
    task = setting.tasks["b"][1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert setting.working == [], "cancelling the elector ends its work"


async def test_a_lease_that_another_has_taken_ends_the_work_at_once() -> None:
    setting = Setting()
    setting.start("a")
    await setting.wait(1)
    lease = await setting.client.get(LEASES, "scheduler", namespace="kube-system")
    await setting.client.update(LEASES, {**lease, "spec": {**lease["spec"], "holderIdentity": "thief"}})
    await setting.wait(3)
    assert setting.working == []
    assert setting.holder() == "thief"
    await setting.stop("a")


async def test_events_tell_who_leads() -> None:
    setting = Setting()
    setting.start("a")
    await setting.wait(1)
    await setting.stop("a")
    assert setting.notices == [
        "Lease Normal LeaderElection: a became leader",
        "Lease Normal LeaderElection: a stopped leading",
    ]


@pytest.mark.parametrize(
    ("timings", "problem"),
    [
        ({"lease_seconds": 10.0}, "lease duration must be greater than the renew deadline"),
        ({"retry_seconds": 9.0}, "renew deadline must be greater than 1.2 retry periods"),
        ({"retry_seconds": 0.0}, "retry period must be greater than zero"),
        (
            {"lease_seconds": 0.9, "renew_deadline_seconds": 0.5, "retry_seconds": 0.1},
            "lease duration must be at least one second",
        ),
    ],
)
def test_timings_with_which_two_could_lead_are_refused(timings: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ElectionTimings(**timings)
