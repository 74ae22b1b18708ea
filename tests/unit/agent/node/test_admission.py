"""Which Pods a node takes, and what a critical one may push aside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from agent.node.admission import NodeAdmission
from agent.node.node_status import node_object
from agent.node.pod_preemptor import PodPreemptor
from agent.node.security_admission import SecurityPolicy
from agent.node.shutdown import NOT_ADMITTED
from agent.pods.rejection import Rejection
from agent.runtime.sysctls import SysctlAllowlist
from control.api.clock import FakeClock
from control.api.objects import Object, ReadOnlyObject
from tests.fakes.agent_node import make_pod
from tests.unit.agent.node.test_node_status import INPUTS

SECURITY = SecurityPolicy(sysctls=SysctlAllowlist.of([], "6.1"))
CRITICAL = 2_000_000_000


class Node:
    """A node of two processors that notes whom it preempts."""

    def __init__(self, *pods: Object, pressures: frozenset[str] = frozenset()) -> None:
        self.preempted: list[str] = []
        self.is_shutting_down = False
        self._pods = list(pods)
        self._node = node_object(INPUTS)
        self.admission = NodeAdmission(
            lambda: self._node,
            lambda: self._pods,
            SECURITY,
            pressures=lambda: pressures,
            preempt=self._preempt,
            judge_shutdown=lambda pod: NOT_ADMITTED if self.is_shutting_down else None,
        )

    def remove(self, pod: Object) -> None:
        self._pods.remove(pod)

    async def admit(self, pod: Object) -> tuple[str, str] | None:
        rejection = await self.admission.admit(pod)
        return None if rejection is None else (rejection.reason, rejection.message)

    async def _preempt(self, pods: Sequence[ReadOnlyObject]) -> None:
        self.preempted += [pod["metadata"]["name"] for pod in pods]


async def test_a_node_that_shuts_down_admits_nothing_and_preempts_nothing() -> None:
    node = Node(pod_of("other", "1500m"))
    node.is_shutting_down = True
    refusal = ("NodeShutdown", "Pod was rejected as the node is shutting down.")
    assert await node.admit(pod_of("critical", "1500m", priority=CRITICAL)) == refusal
    assert node.preempted == []


def pod_of(name: str, cpu: str, **spec: Any) -> Object:
    return make_pod(name, containers=[{"name": "c", "resources": {"requests": {"cpu": cpu}}}], **spec)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        pytest.param({}, None, id="a pod that fits is admitted"),
        pytest.param({"nodeSelector": {"disk": "ssd"}}, "NodeAffinity", id="a selector that does not match"),
        pytest.param(
            {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1500m"}}}]},
            "OutOfcpu",
            id="too little cpu",
        ),
        pytest.param(
            {"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 80}]}]},
            "NodePorts",
            id="a host port that another Pod has",
        ),
        pytest.param(
            {"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 80, "hostIP": "127.0.0.1"}]}]},
            None,
            id="a host port at another address",
        ),
        pytest.param(
            {"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 81}]}]},
            None,
            id="a host port that only a finished Pod has",
        ),
    ],
)
async def test_whom_a_node_takes(spec: dict[str, Any], reason: str | None) -> None:
    port = {"containerPort": 1, "hostPort": 80, "hostIP": "10.244.0.1"}
    other = make_pod("other", containers=[{"name": "c", "resources": {"requests": {"cpu": "1"}}, "ports": [port]}])
    other["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    done = make_pod("done", containers=[{"name": "c", "ports": [{"containerPort": 1, "hostPort": 81}]}])
    done["status"] = {"phase": "Succeeded"}
    refusal = await Node(other, done).admit(make_pod("web", **spec))
    assert (refusal and refusal[0]) == reason


def waiting_pod(name: str, cpu: str, *, held: str, priority: int = 0, limit: str = "") -> Object:
    """One that has less than its spec wants."""
    resources: Object = {"requests": {"cpu": cpu, "memory": "1Mi"}}
    if limit:
        resources["limits"] = {"cpu": cpu, "memory": "1Mi"}
    pod = make_pod(name, containers=[{"name": "c", "resources": resources}], priority=priority)
    pod["status"] = {"containerStatuses": [{"name": "c", "allocatedResources": {"cpu": held, "memory": "1Mi"}}]}
    return pod


def verdicts(judge: NodeAdmission, *pods: Object) -> list[str]:
    return [pending.reason if (pending := judge.judge_resize(pod)) is not None else "" for pod in pods]


async def test_pods_that_wait_for_more_do_not_wait_for_one_another() -> None:
    large, small = waiting_pod("large", "1500m", held="500m"), waiting_pod("small", "1200m", held="200m")
    other = pod_of("other", "1")
    node = Node(large, small, other)
    assert verdicts(node.admission, large, small) == ["Deferred", "Deferred"]
    node.remove(other)
    assert await node.admit(pod_of("new", "1300m")) is None
    assert verdicts(node.admission, large, small) == ["", "Deferred"]


@pytest.mark.parametrize(
    ("priority", "limit", "expected"),
    [
        pytest.param(0, "", ["", "Deferred"], id="the one that waits for longer"),
        pytest.param(1, "", ["Deferred", ""], id="before it the one of higher priority"),
        pytest.param(0, "1500m", ["Deferred", ""], id="before it a guaranteed one"),
    ],
)
async def test_whose_turn_comes_first(priority: int, limit: str, expected: list[str]) -> None:
    first = waiting_pod("first", "1500m", held="200m")
    second = waiting_pod("second", "1500m", held="200m", priority=priority, limit=limit)
    other = pod_of("other", "1")
    node = Node(first, second, other)
    assert verdicts(node.admission, first, second, first) == ["Deferred"] * 3
    node.remove(other)
    assert verdicts(node.admission, second, first)[::-1] == expected


async def test_a_pod_that_wants_less_waits_for_nobody() -> None:
    important = waiting_pod("important", "2", held="100m", priority=9)
    modest = waiting_pod("modest", "500m", held="1")
    node = Node(important, modest, pod_of("other", "800m"))
    assert verdicts(node.admission, important, modest) == ["Deferred", ""]


async def test_pressure_is_judged_first() -> None:
    node = Node(pressures=frozenset({"DiskPressure"}))
    assert await node.admit(pod_of("web", "5")) == ("Evicted", "The node had condition: [DiskPressure]. ")
    assert await node.admit(pod_of("critical", "1", priority=CRITICAL)) is None


async def test_a_critical_pod_takes_the_place_of_others() -> None:
    node = Node(pod_of("small", "500m"), pod_of("large", "1200m"))
    assert await node.admit(pod_of("critical", "1", priority=CRITICAL)) is None
    assert node.preempted == ["large"]


async def test_a_critical_pod_that_fits_pushes_nobody_aside() -> None:
    node = Node(pod_of("small", "500m"))
    assert await node.admit(pod_of("critical", "1", priority=CRITICAL)) is None
    assert node.preempted == []


async def test_nobody_goes_for_a_pod_that_is_refused_all_the_same() -> None:
    node = Node(pod_of("large", "2"))
    elsewhere = pod_of("critical", "1", priority=CRITICAL, nodeSelector={"disk": "ssd"})
    refusal = await node.admit(elsewhere)
    assert refusal is not None
    assert (refusal[0], node.preempted) == ("NodeAffinity", [])


async def test_no_room_even_without_all_others_is_an_error_in_upstream_s_words() -> None:
    node = Node(pod_of("small", "500m"))
    refusal = await node.admit(pod_of("critical", "3", priority=CRITICAL))
    assert refusal is not None
    assert refusal[0] == "UnexpectedAdmissionError"
    assert refusal[1].endswith("no set of running pods found to reclaim resources: [(res: cpu, q: 1500), ]")
    assert node.preempted == []


async def test_preempted_pods_fail_with_upstream_s_words_and_are_waited_for() -> None:
    failed: list[tuple[str, Rejection]] = []
    events: list[tuple[str, str, str]] = []
    clock = FakeClock()
    polls = iter([False, False, True])

    def is_released(uid: str) -> bool:
        return next(polls)

    preemptor = PodPreemptor(
        fail=lambda uid, rejection: failed.append((uid, rejection)),
        is_released=is_released,
        record=lambda pod, *words: events.append(words),
        clock=clock,
    )
    waiting = asyncio.ensure_future(preemptor.preempt([pod_of("large", "2")]))
    await asyncio.sleep(0)
    await clock.advance(0.5)
    assert not waiting.done()
    await clock.advance(0.5)
    await waiting
    words = "Preempted in order to admit critical pod"
    assert events == [("Warning", "Preempting", words)]
    disruption = "Pod was preempted by Kubelet to accommodate a critical pod."
    assert failed == [("uid-of-large", Rejection(reason="Preempting", message=words, disruption=disruption))]
