"""Two schedulers, one Lease: whatever happens to the leader, the other goes on, and no Pod is bound twice."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import pytest

from control.api.builtin_kinds import PODS
from control.client.client import Client
from control.client.kubeconfig import transport_from_kubeconfig
from tests.cluster import Cluster, wait_for
from tests.part_process import PartProcess, holder_of, wait_for_leader

LEASE = "kube-scheduler"
LEASE_SECONDS = 4
NODE_COUNT = 3


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An API server alone, with nodes that are objects only."""
    made = Cluster(tmp_path_factory.mktemp("api"))
    try:
        made.up("--nodes", "0", "--no-scheduler", "--no-controllers")
        made.kubectl("create", "serviceaccount", "default")
        amounts = {"cpu": "100", "memory": "100Gi", "pods": "1000"}
        for number in range(NODE_COUNT):
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{number}"}}
            made.kubectl("create", "-f", "-", stdin=json.dumps({**node, "status": {"allocatable": amounts}}))
        yield made
    finally:
        made.delete()


@pytest.fixture
def schedulers(api: Cluster) -> Iterator[list[PartProcess]]:
    """Two of them; the Pods of a test go with it."""
    started = [PartProcess(api, "scheduler") for _ in range(2)]
    try:
        yield started
    finally:
        for item in started:
            with suppress(ProcessLookupError):
                item.send(signal.SIGCONT)
            item.terminate()
        now = json.dumps({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
        api.kubectl("delete", "--raw", "/api/v1/namespaces/default/pods", "-f", "-", stdin=now)


class Placements:
    """Where a watch saw every Pod placed, in order."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.nodes_of: dict[str, list[str]] = {}
        self._changed = asyncio.Event()

    async def watch(self, resource_version: str) -> None:
        """Follow all Pods from there on."""
        async for batch in self.client.watch(PODS, resource_version=resource_version):
            for event in batch:
                if event.type in ("ADDED", "MODIFIED"):
                    self._note(event.object)
            self._changed.set()

    def _note(self, pod: Any) -> None:
        seen = self.nodes_of.setdefault(pod["metadata"]["name"], [])
        node = pod["spec"].get("nodeName")
        if node and seen[-1:] != [node]:
            seen.append(node)

    async def wait_for(self, count: int) -> None:
        """Until so many Pods are placed."""
        while sum(bool(nodes) for nodes in self.nodes_of.values()) < count:
            self._changed.clear()
            await self._changed.wait()

    async def create(self, prefix: str, count: int) -> None:
        """A burst of Pods."""
        limit = asyncio.Semaphore(16)

        async def one(name: str) -> None:
            spec = {
                "containers": [{"name": "c", "image": "nginx"}],
                "tolerations": [{"operator": "Exists"}],
                "automountServiceAccountToken": False,
            }
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}
            async with limit:
                await self.client.create(PODS, pod)

        await asyncio.gather(*(one(f"{prefix}-{number}") for number in range(count)))


@asynccontextmanager
async def placements(api: Cluster) -> AsyncIterator[Placements]:
    client = Client(transport_from_kubeconfig(api.state / "admin.kubeconfig"))
    seen = Placements(client)
    watching = asyncio.create_task(seen.watch((await client.list(PODS))["metadata"]["resourceVersion"]))
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await client.close()


def assert_each_bound_once(api: Cluster, seen: Placements) -> None:
    assert all(len(nodes) == 1 for nodes in seen.nodes_of.values()), seen.nodes_of
    events = api.get("events")["items"]
    assert not [event["message"] for event in events if event["reason"] == "FailedScheduling"], "a binding was refused"
    told = [event["involvedObject"]["name"] for event in events if event["reason"] == "Scheduled"]
    assert len(told) == len(set(told)), "a Pod was scheduled twice"


async def test_a_killed_leader_is_followed_during_a_burst_and_no_pod_is_bound_twice(
    api: Cluster, schedulers: list[PartProcess]
) -> None:
    first = await asyncio.to_thread(wait_for_leader, api, LEASE, schedulers)
    async with placements(api) as seen:
        creating = asyncio.create_task(seen.create("burst", 200))
        await seen.wait_for(40)
        first.kill()
        held = api.get("lease", "-n", "kube-system", LEASE)["spec"]
        await creating
        await seen.wait_for(200)
        assert_each_bound_once(api, seen)
    (second,) = (item for item in schedulers if item is not first)
    lease = api.get("lease", "-n", "kube-system", LEASE)["spec"]
    assert lease["holderIdentity"] == second.identity
    assert lease["leaseTransitions"] == held["leaseTransitions"] + 1
    waited = datetime.fromisoformat(lease["acquireTime"]) - datetime.fromisoformat(held["renewTime"])
    assert waited.total_seconds() >= LEASE_SECONDS, "nobody leads before the lease is old"


async def test_a_leader_that_slept_stops_and_reads_anew_when_it_leads_again(
    api: Cluster, schedulers: list[PartProcess]
) -> None:
    first = await asyncio.to_thread(wait_for_leader, api, LEASE, schedulers)
    (second,) = (item for item in schedulers if item is not first)
    async with placements(api) as seen:
        await seen.create("before", 10)
        await seen.wait_for(10)
        first.send(signal.SIGSTOP)
        await seen.create("asleep", 30)
        await seen.wait_for(40)
        assert holder_of(api, LEASE) == second.identity
        first.send(signal.SIGCONT)
        await seen.create("awake", 30)
        await seen.wait_for(70)
        await asyncio.to_thread(wait_for, lambda: "Lost leadership" in first.log, "the first sees that it lost")
        second.kill()
        await seen.create("again", 10)
        await seen.wait_for(80)
        assert holder_of(api, LEASE) == first.identity
        assert_each_bound_once(api, seen)


async def test_a_leader_that_is_told_to_end_hands_over_at_once(api: Cluster, schedulers: list[PartProcess]) -> None:
    first = await asyncio.to_thread(wait_for_leader, api, LEASE, schedulers)
    (second,) = (item for item in schedulers if item is not first)
    before = api.get("lease", "-n", "kube-system", LEASE)["spec"]
    assert first.terminate() == 0
    assert await asyncio.to_thread(wait_for_leader, api, LEASE, [second]) is second
    wanted = {f"{first.identity} stopped leading", f"{second.identity} became leader"}

    def told() -> set[str]:
        events = api.get("events", "-n", "kube-system", "--field-selector", "reason=LeaderElection")["items"]
        return {event["message"] for event in events}

    await asyncio.to_thread(wait_for, lambda: wanted <= told(), "Events tell of both")
    after = api.get("lease", "-n", "kube-system", LEASE)["spec"]
    assert after["leaseTransitions"] == before["leaseTransitions"] + 1


def schedule_one(api: Cluster, name: str) -> None:
    """A Pod is created, and placed by whoever schedules."""
    spec = {"containers": [{"name": "c", "image": "nginx"}], "tolerations": [{"operator": "Exists"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    api.kubectl("create", "-f", "-", stdin=json.dumps(pod))
    api.wait("--for=condition=PodScheduled", f"pod/{name}")


def test_a_scheduler_beside_a_whole_control_plane_waits_until_that_one_gives_up_its_own(api: Cluster) -> None:
    api.up("--no-controllers")
    wait_for(lambda: holder_of(api, LEASE) == "podling-control", "the control plane has its new settings")
    # A Lease that outlives the restarts of the API server.
    patient = ("--leader-elect-lease-duration=90s", "--leader-elect-renew-deadline=60s")
    beside = PartProcess(api, "scheduler", *patient)
    try:
        schedule_one(api, "inside")
        assert holder_of(api, LEASE) == "podling-control"
        api.up("--no-controllers", "--no-scheduler")
        wait_for_leader(api, LEASE, [beside])
        schedule_one(api, "beside")
        api.up("--no-controllers")
        schedule_one(api, "still-beside")
        assert holder_of(api, LEASE) == beside.identity, "the control plane waits for its turn"
    finally:
        beside.terminate()
