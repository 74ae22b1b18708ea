"""The loop: signals in, one Pod out, on a host and a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from agent.node.eviction.pod_evictor import EvictionServices, PodEvictor
from agent.node.eviction.pod_usage import ContainerUse, FileUsage, PodUse
from agent.node.eviction.settings import EvictionSettings
from agent.node.eviction.signals import Observation
from agent.node.eviction.thresholds import parse_thresholds
from agent.node.host_facts import DiskUsage, HostUsage
from agent.pods.rejection import Rejection
from agent.runtime.protocol import RuntimeFailure
from control.api.clock import FakeClock
from control.api.objects import Object, ReadOnlyObject
from tests.fakes.agent_node import make_pod

MIB = 1 << 20
DISK = DiskUsage(capacity_bytes=1000 * MIB, available_bytes=500 * MIB)
PLENTY = HostUsage(
    node_disk=DISK,
    image_disk=DISK,
    memory_bytes=1000 * MIB,
    memory_available_bytes=500 * MIB,
    pid_max=1000,
    pids=10,
)
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}


class Node:
    """A node whose Pods end when they are evicted, and give back what they use (unless `keeps_running`)."""

    def __init__(self, hard: str, *, soft: str = "", grace: str = "", **settings: Any) -> None:
        self.clock = FakeClock()
        self.usage = PLENTY
        self.pods: dict[str, Object] = {}
        self.uses: dict[str, PodUse] = {}
        self.evicted: list[tuple[str, Rejection]] = []
        self.events: list[tuple[str, str, str, str]] = []
        self.share_mib = 0
        self.measured = 0
        self.reclaimed = 0
        self.reclaimable = 0
        self.changes = 0
        self.keeps_running = False
        self.is_anothers_turn = False
        services = EvictionServices(
            read_usage=lambda: self.usage,
            observe_allocatable_memory=self._observe_allocatable_memory,
            pods=lambda: list(self.pods.values()),
            measure_files=self._measure,
            measure_all=self._measure,
            fail=self._fail,
            is_released=lambda uid: not self.keeps_running,
            reclaim_disk=(self._reclaim,),
            take_turn=self._take_turn,
            record=self._record,
            record_of_node=partial(self._record, NODE),
            on_change=self._count_change,
            clock=self.clock,
        )
        thresholds = parse_thresholds(hard, soft, grace)
        self.evictor = PodEvictor(EvictionSettings(thresholds=thresholds, **settings), services)

    def add(self, name: str, memory_mib: int = 0, *, written_mib: int = 0, **spec: Any) -> None:
        pod = make_pod(name, **spec)
        self.pods[pod["metadata"]["uid"]] = pod
        files = FileUsage(used_bytes=written_mib * MIB)
        self.uses[pod["metadata"]["uid"]] = PodUse(
            containers={"web": ContainerUse(memory_bytes=memory_mib * MIB, files=files)}, volumes={"v": files}
        )

    def set_memory(self, available_mib: int) -> None:
        self.usage = replace(self.usage, memory_available_bytes=available_mib * MIB)

    def set_disk(self, available_mib: int, *, has_image_disk: bool = False) -> None:
        disk = replace(DISK, available_bytes=available_mib * MIB)
        image_disk = replace(DISK, device=1) if has_image_disk else disk
        self.usage = replace(self.usage, node_disk=disk, image_disk=image_disk)

    @property
    def gone(self) -> list[str]:
        return [uid.removeprefix("uid-of-") for uid, _ in self.evicted]

    def reasons(self, kind: str) -> list[str]:
        return [reason for about, _, reason, _ in self.events if about == kind]

    async def _observe_allocatable_memory(self) -> Observation | None:
        if not self.share_mib:
            return None
        used = sum(self.uses[uid].memory_bytes for uid in self.pods)
        return Observation(available=max(0, self.share_mib * MIB - used), capacity=self.share_mib * MIB)

    async def _measure(self, pods: Sequence[ReadOnlyObject]) -> Mapping[str, PodUse]:
        self.measured += 1
        return {pod["metadata"]["uid"]: self.uses[pod["metadata"]["uid"]] for pod in pods}

    async def _reclaim(self) -> None:
        self.reclaimed += 1
        self.set_disk(self.usage.node_disk.available_bytes // MIB + self.reclaimable)
        if not self.reclaimable:
            raise RuntimeFailure("the engine does not answer")

    def _fail(self, uid: str, rejection: Rejection) -> None:
        self.evicted.append((uid, rejection))
        self.pods.pop(uid)
        available = self.usage.memory_available_bytes or 0
        self.set_memory((available + self.uses[uid].memory_bytes) // MIB)

    def _record(self, about: ReadOnlyObject, type: str, reason: str, message: str, **_: Any) -> None:
        self.events.append((about["kind"], type, reason, message))

    def _count_change(self) -> None:
        self.changes += 1

    @contextmanager
    def _take_turn(self) -> Iterator[bool]:
        yield not self.is_anothers_turn


async def test_an_idle_node_measures_nothing() -> None:
    node = Node("memory.available<100Mi")
    node.add("web", 400)
    for _ in range(20):
        await node.evictor.step()
    assert (node.measured, node.evicted, node.events, node.changes) == (0, [], [], 0)


async def test_one_pod_goes_at_a_time_until_enough_is_free() -> None:
    node = Node("memory.available<100Mi")
    node.add("small", 30)
    node.add("large", 60)
    node.add("important", 900, priority=1000)
    node.set_memory(40)
    await node.evictor.step()
    assert node.gone == ["large"]
    assert node.evictor.conditions == {"MemoryPressure"}
    (_, rejection), *_ = node.evicted
    assert (rejection.reason, rejection.grace_seconds) == ("Evicted", 1)
    assert rejection.disruption == rejection.message
    assert rejection.message.startswith("The node was low on resource: memory. Threshold quantity: 100Mi")
    assert node.events[0] == ("Node", "Warning", "EvictionThresholdMet", "Attempting to reclaim memory")
    assert node.events[1] == ("Pod", "Warning", "Evicted", rejection.message)
    await node.evictor.step()
    assert node.gone == ["large"], "100 MiB are free now"


async def test_a_node_that_keeps_memory_from_its_pods_evicts_those_that_take_more_than_their_share() -> None:
    node = Node("memory.available<100Mi")
    node.share_mib = 400
    node.add("small", 100)
    node.add("large", 201)
    await node.evictor.step()
    assert node.gone == ["large"], "the machine has plenty, the node has not"
    (_, rejection) = node.evicted[0]
    assert rejection.message.startswith(
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 99Mi. "
    )
    await node.evictor.step()
    assert node.gone == ["large"]


async def test_critical_and_static_pods_are_spared() -> None:
    node = Node("memory.available<100Mi")
    node.add("critical", 900, priority=2_000_000_000)
    node.add("static", 900)
    node.pods["uid-of-static"]["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    node.set_memory(1)
    await node.evictor.step()
    assert node.evicted == []
    assert node.reasons("Node") == ["EvictionThresholdMet"]


async def test_a_soft_threshold_waits_and_leaves_the_pod_its_grace() -> None:
    node = Node("", soft="memory.available<300Mi", grace="memory.available=30s", max_pod_grace_seconds=20)
    node.add("web", 500)
    node.set_memory(200)
    await node.evictor.step()
    await node.clock.advance(29)
    await node.evictor.step()
    assert node.evicted == []
    await node.clock.advance(1)
    await node.evictor.step()
    assert [rejection.grace_seconds for _, rejection in node.evicted] == [20]


async def test_the_condition_outlives_the_pressure_by_the_transition_period() -> None:
    node = Node("memory.available<100Mi", transition_seconds=60)
    node.set_memory(99)
    await node.evictor.step()
    node.set_memory(500)
    await node.clock.advance(59)
    await node.evictor.step()
    assert (node.evictor.conditions, node.changes) == ({"MemoryPressure"}, 1)
    await node.clock.advance(1)
    await node.evictor.step()
    assert (node.evictor.conditions, node.changes) == (frozenset(), 2)


@pytest.mark.parametrize(
    ("reclaimable", "gone"),
    [
        pytest.param(200, [], id="what nobody needs was enough"),
        pytest.param(10, ["writer"], id="not enough"),
        pytest.param(0, ["writer"], id="it cannot be taken"),
    ],
)
async def test_disk_is_first_taken_from_what_no_pod_needs(reclaimable: int, gone: list[str]) -> None:
    node = Node("nodefs.available<100Mi")
    node.reclaimable = reclaimable
    node.add("idle")
    node.add("writer", written_mib=50)
    node.set_disk(20)
    await node.evictor.step()
    assert (node.reclaimed, node.gone) == (1, gone)


async def test_a_disk_that_holds_only_volumes_has_nothing_to_reclaim() -> None:
    node = Node("nodefs.available<100Mi")
    node.add("writer", written_mib=50)
    node.set_disk(20, has_image_disk=True)
    await node.evictor.step()
    assert (node.reclaimed, node.gone) == (0, ["writer"])


async def test_nodes_of_one_host_take_turns() -> None:
    node = Node("memory.available<100Mi")
    node.add("web", 400)
    node.set_memory(50)
    node.is_anothers_turn = True
    await node.evictor.step()
    assert (node.evicted, node.events) == ([], [])
    assert node.evictor.conditions == {"MemoryPressure"}
    node.is_anothers_turn = False
    await node.evictor.step()
    assert node.gone == ["web"]


async def test_the_next_pod_goes_only_when_the_last_one_has_ended() -> None:
    node = Node("memory.available<300Mi")
    node.add("first", 100)
    node.add("second", 50)
    node.set_memory(10)
    node.keeps_running = True
    step = asyncio.ensure_future(node.evictor.step())
    await node.clock.advance(0)
    for _ in range(20):
        await node.clock.advance(1)
    assert (node.gone, step.done()) == (["first"], False)
    node.keeps_running = False
    await node.clock.advance(1)
    await step
    await node.evictor.step()
    assert node.gone == ["first", "second"]


async def test_a_pod_that_does_not_end_is_not_waited_for_for_ever() -> None:
    node = Node("memory.available<300Mi")
    node.add("stuck", 100)
    node.set_memory(10)
    node.keeps_running = True
    step = asyncio.ensure_future(node.evictor.step())
    for _ in range(62):
        await node.clock.advance(0.5)
    assert step.done()


async def test_pods_over_their_limits_go_without_any_pressure() -> None:
    node = Node("")
    limited = [{"name": "v", "emptyDir": {"sizeLimit": "10Mi"}}]
    node.add("over", written_mib=11, volumes=limited)
    node.add("over-too", written_mib=12, volumes=limited)
    node.add("within", written_mib=9, volumes=limited)
    node.add("unlimited", written_mib=900)
    await node.evictor.step()
    assert node.gone == ["over", "over-too"]
    _, rejection = node.evicted[0]
    assert rejection.message == 'Usage of EmptyDir volume "v" exceeds the limit "10Mi". '
    assert (rejection.grace_seconds, rejection.disruption) == (1, "")
    assert node.reasons("Node") == []


async def test_the_loop_looks_at_intervals_and_sooner_after_an_eviction() -> None:
    node = Node("memory.available<100Mi", interval_seconds=10)
    loop = asyncio.ensure_future(node.evictor.run())
    await asyncio.sleep(0)
    await node.clock.advance(1)
    node.add("web", 20)
    node.add("other", 10)
    node.set_memory(10)
    await node.clock.advance(9)
    assert node.gone == []
    await node.clock.advance(1)
    assert node.gone == ["web"]
    await node.clock.advance(1)
    assert node.gone == ["web", "other"]
    await node.clock.advance(1)
    told = len(node.events)
    await node.clock.advance(9)
    assert len(node.events) == told, "nobody is left to evict"
    await node.clock.advance(1)
    assert len(node.events) == told + 1
    loop.cancel()
