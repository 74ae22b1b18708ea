from __future__ import annotations

from typing import Any

import pytest

from control.scheduler.framework import Change, ClusterEvent, Resource
from control.scheduler.plugins import default_profile
from control.scheduler.queue import WAITING_SECONDS_MAX, Place, QueuedPod, SchedulingQueue
from tests.unit.scheduler.builders import make_node, make_pod, prepare

FIT = frozenset({"NodeResourcesFit"})


def make_queue() -> SchedulingQueue:
    profile = default_profile()
    return SchedulingQueue(profile.interests(), profile.pre_enqueue)


def take(queue: SchedulingQueue, now: float) -> QueuedPod:
    queued = queue.pop(now)
    assert queued is not None
    return queued


def node_event(change: Change = Change.ADD, **node: Any) -> ClusterEvent:
    return ClusterEvent(Resource.NODE, change, new=make_node(**node))


def test_priority_then_arrival_orders_the_pods() -> None:
    queue = make_queue()
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        queue.add(prepare(name, priority=priority), 0)
    assert [take(queue, 0).pod.key for _ in range(4)] == ["d/b", "d/d", "d/a", "d/c"]
    assert queue.pop(0) is None


def test_a_refused_pod_waits_for_an_event_its_plugin_is_interested_in() -> None:
    queue = make_queue()
    queue.add(prepare(), 0)
    queue.put_back(take(queue, 0), FIT, 0)
    assert queue.pop(100) is None
    assert queue.on_event(ClusterEvent(Resource.UNSCHEDULED_POD, Change.UPDATE), 100) == 0
    assert queue.on_event(node_event(), 100) == 1
    assert take(queue, 100).attempts == 2


@pytest.mark.parametrize(
    ("plugin", "event", "helps"),
    [
        ("NodeAffinity", node_event(labels={"zone": "a"}), True),
        ("NodeAffinity", node_event(labels={"zone": "b"}), False),
        ("TaintToleration", node_event(taints=[{"key": "k", "effect": "NoSchedule"}]), False),
        ("TaintToleration", node_event(), True),
        ("NodeUnschedulable", node_event(unschedulable=True), False),
        ("NodeUnschedulable", node_event(Change.UPDATE), True),
        ("NodeDeclaredFeatures", node_event(), True),
        ("NodeDeclaredFeatures", ClusterEvent(Resource.NODE, Change.UPDATE, old=make_node(), new=make_node()), False),
        (
            "NodeDeclaredFeatures",
            ClusterEvent(Resource.NODE, Change.UPDATE, old=make_node(), new=make_node(features=["A"])),
            True,
        ),
        ("NodePorts", ClusterEvent(Resource.ASSIGNED_POD, Change.DELETE, old=make_pod(host_port=80)), True),
        ("NodePorts", ClusterEvent(Resource.ASSIGNED_POD, Change.DELETE, old=make_pod(host_port=81)), False),
        ("NodeResourcesFit", ClusterEvent(Resource.ASSIGNED_POD, Change.DELETE, old=make_pod()), True),
        ("NodeResourcesFit", ClusterEvent(Resource.ASSIGNED_POD, Change.ADD, new=make_pod()), False),
    ],
)
def test_hints(plugin: str, event: ClusterEvent, helps: bool) -> None:
    queue = make_queue()
    queue.add(prepare(nodeSelector={"zone": "a"}, host_port=80), 0)
    queue.put_back(take(queue, 0), frozenset({plugin}), 0)
    assert queue.on_event(event, 50) == int(helps)


def test_other_pods_go_before_one_that_backs_off() -> None:
    queue = make_queue()
    queue.add(prepare("first", priority=9), 0)
    queue.put_back(take(queue, 0), FIT, 0)
    queue.on_event(node_event(), 0.5)
    queue.add(prepare("second"), 0.5)
    assert [take(queue, 0.5).pod.key for _ in range(2)] == ["d/second", "d/first"]


def test_errors_wait_their_back_off_out_and_it_doubles() -> None:
    queue = make_queue()
    queue.add(prepare(), 0)
    now = 0.0
    for seconds in (1, 2, 4, 8, 10, 10):
        queue.put_back(take(queue, now), frozenset(), now)
        assert queue.pop(now + seconds - 0.01) is None
        assert queue.next_wake(now) == seconds
        now += seconds


def test_waiting_pods_are_tried_again_after_five_minutes() -> None:
    queue = make_queue()
    queue.add(prepare(), 0)
    queue.put_back(take(queue, 0), FIT, 0)
    assert queue.pop(WAITING_SECONDS_MAX - 31) is None
    wake = queue.next_wake(WAITING_SECONDS_MAX - 31)
    assert wake is not None
    assert take(queue, WAITING_SECONDS_MAX).attempts == 2


def test_gated_pods_are_not_tried_until_the_gates_go() -> None:
    queue = make_queue()
    queue.add(prepare(schedulingGates=[{"name": "a.com/g"}]), 0)
    assert queue.pop(0) is None
    assert queue.counts()[Place.GATED] == 1
    queue.on_event(node_event(), 0)
    assert queue.pop(400) is None
    queue.update(prepare(), 0)
    assert take(queue, 0).pod.key == "d/p"


def test_a_removed_pod_never_comes_back() -> None:
    queue = make_queue()
    queue.add(prepare(), 0)
    queued = take(queue, 0)
    queue.remove("uid-p")
    queue.put_back(queued, FIT, 0)
    queue.on_event(node_event(), 10)
    assert queue.pop(1000) is None
    assert len(queue) == 0


def test_a_changed_priority_counts_at_once() -> None:
    queue = make_queue()
    queue.add(prepare("a"), 0)
    queue.add(prepare("b"), 0)
    queue.update(prepare("b", priority=1), 0)
    assert [take(queue, 0).pod.key for _ in range(2)] == ["d/b", "d/a"]
    assert queue.pop(0) is None
