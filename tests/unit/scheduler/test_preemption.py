from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.objects import Object
from control.scheduler.placement import filter_nodes
from control.scheduler.plugins import default_profile
from control.scheduler.preemption import (
    Candidate,
    Preemption,
    choose_candidate,
    plan_preemption,
    select_victims,
)
from control.scheduler.prepared import PreparedPod
from control.scheduler.snapshot import Snapshot
from tests.unit.scheduler.builders import make_node, make_pod, make_snapshot, prepare

PROFILE = default_profile()


def plan(pod: PreparedPod, snapshot: Snapshot, budgets: Sequence[Object] = ()) -> Preemption:
    return plan_preemption(PROFILE, pod, snapshot, filter_nodes(PROFILE, pod, snapshot).diagnosis, budgets)


def make_budget(allowed: int, *, selector: Any = None, namespace: str = "d", disrupted: Sequence[str] = ()) -> Object:
    """By default one of the Pods with the label `app: db`."""
    return {
        "metadata": {"name": "budget", "namespace": namespace, "uid": "budget"},
        "spec": {"selector": {"matchLabels": {"app": "db"}} if selector is None else selector},
        "status": {"disruptionsAllowed": allowed, "disruptedPods": dict.fromkeys(disrupted, "2026-01-01T00:00:00Z")},
    }


def labelled(name: str, **fields: Any) -> PreparedPod:
    """A Pod of the database."""
    pod = make_pod(name, **fields)
    pod["metadata"]["labels"] = {"app": "db"}
    return PreparedPod(pod)


def victims_of(preemption: Preemption) -> tuple[str, list[str]]:
    assert preemption.candidate is not None
    return preemption.candidate.node_name, [victim.key for victim in preemption.candidate.victims]


def started(name: str, seconds: int, **fields: Any) -> PreparedPod:
    return prepare(name, status={"startTime": f"2026-01-01T00:00:{seconds:02}Z"}, **fields)


def test_the_fewest_and_least_important_must_leave() -> None:
    snapshot = make_snapshot(make_node())
    for name, cpu, priority in (("low", "2", 1), ("lower", "1", 0), ("keep", "1", 5)):
        snapshot.put_pod(prepare(name, cpu=cpu, priority=priority), "n1")
    assert victims_of(plan(prepare("hi", cpu="1", priority=10), snapshot)) == ("n1", ["d/lower"])
    assert victims_of(plan(prepare("hi", cpu="3", priority=3), snapshot)) == ("n1", ["d/low", "d/lower"])


def test_equal_priority_never_preempts() -> None:
    snapshot = make_snapshot(make_node())
    snapshot.put_pod(prepare("x", cpu="4", priority=5), "n1")
    outcome = plan(prepare("y", cpu="1", priority=5), snapshot)
    assert outcome.candidate is None
    assert outcome.message == "0/1 nodes are available: 1 No preemption victims found for incoming pod."


def test_victims_that_do_not_make_enough_room_are_spared() -> None:
    snapshot = make_snapshot(make_node())
    snapshot.put_pod(prepare("big", cpu="3", priority=10), "n1")
    snapshot.put_pod(prepare("small", cpu="1", priority=0), "n1")
    outcome = plan(prepare("y", cpu="2", priority=5), snapshot)
    assert outcome == Preemption(message="0/1 nodes are available: 1 Insufficient cpu.")


def test_the_node_with_the_lesser_loss_is_chosen() -> None:
    snapshot = make_snapshot(make_node("a"), make_node("b"), make_node("c"))
    snapshot.put_pod(prepare("a1", cpu="4", priority=3), "a")
    snapshot.put_pod(prepare("b1", cpu="2", priority=2), "b")
    snapshot.put_pod(prepare("b2", cpu="2", priority=2), "b")
    snapshot.put_pod(prepare("c1", cpu="4", priority=2), "c")
    assert victims_of(plan(prepare("hi", cpu="4", priority=9), snapshot)) == ("c", ["d/c1"])


def test_among_equals_the_youngest_victim_leaves() -> None:
    candidates = [Candidate("a", (started("x", 5),)), Candidate("b", (started("y", 9),))]
    assert choose_candidate(candidates).node_name == "b"


@pytest.mark.parametrize(
    ("budgets", "victim"),
    [
        pytest.param([], "db", id="without budgets the least important leaves"),
        pytest.param([make_budget(0)], "web", id="a Pod that a budget keeps stays where another can leave"),
        pytest.param([make_budget(1)], "db", id="the budget allows it"),
        pytest.param([make_budget(1), make_budget(0)], "web", id="one of two budgets does not"),
        pytest.param([make_budget(0, disrupted=["db"])], "db", id="its loss is counted already"),
        pytest.param([make_budget(0, namespace="other")], "db", id="a budget of another namespace"),
        pytest.param([make_budget(0, selector={"matchLabels": {"app": "x"}})], "db", id="of other Pods"),
        pytest.param([make_budget(0, selector={})], "db", id="an empty selector keeps nobody"),
        pytest.param(
            [make_budget(0, selector={"matchExpressions": [{"key": "a", "operator": "?"}]}), make_budget(0)],
            "web",
            id="a selector that cannot be read keeps nobody",
        ),
    ],
)
def test_budgets_choose_among_the_pods_of_a_node(budgets: list[Object], victim: str) -> None:
    snapshot = make_snapshot(make_node())
    snapshot.put_pod(labelled("db", cpu="2", priority=0), "n1")
    snapshot.put_pod(prepare("web", cpu="2", priority=1), "n1")
    assert victims_of(plan(prepare("hi", cpu="2", priority=9), snapshot, budgets)) == ("n1", [f"d/{victim}"])


def test_a_budget_is_used_up_by_the_more_important_pods() -> None:
    snapshot = make_snapshot(make_node())
    for name, priority in (("high", 2), ("middle", 1), ("low", 0)):
        snapshot.put_pod(labelled(name, cpu="1", priority=priority), "n1")
    preemption = plan(prepare("hi", cpu="2", priority=9), snapshot, [make_budget(1)])
    assert victims_of(preemption) == ("n1", ["d/high"])


def test_a_node_where_no_budget_is_broken_is_chosen_before_a_lesser_loss() -> None:
    snapshot = make_snapshot(make_node("a"), make_node("b"))
    snapshot.put_pod(labelled("a1", cpu="4", priority=1), "a")
    snapshot.put_pod(prepare("b1", cpu="4", priority=5), "b")
    assert victims_of(plan(prepare("hi", cpu="4", priority=9), snapshot, [make_budget(0)])) == ("b", ["d/b1"])


def test_a_budget_is_broken_where_there_is_no_choice() -> None:
    snapshot = make_snapshot(make_node())
    snapshot.put_pod(labelled("db", cpu="4", priority=1), "n1")
    snapshot.put_pod(prepare("web", cpu="0", priority=5), "n1")
    preemption = plan(prepare("hi", cpu="4", priority=9), snapshot, [make_budget(0)])
    assert victims_of(preemption) == ("n1", ["d/db"])
    assert preemption.candidate is not None
    assert preemption.candidate.violations == 1


def test_a_pod_waits_for_the_victims_it_already_has() -> None:
    snapshot = make_snapshot(make_node())
    victim = prepare(
        "low", cpu="4", status={"conditions": [{"type": "DisruptionTarget", "reason": "PreemptionByScheduler"}]}
    )
    victim.pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"  # type: ignore[index]
    snapshot.put_pod(victim, "n1")
    pod = prepare("hi", cpu="4", priority=9, status={"nominatedNodeName": "n1"})
    assert plan(pod, snapshot).message == "not eligible due to a terminating pod on the nominated node."


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5)), max_size=6), st.integers(1, 4), st.integers(0, 6))
def test_victims_are_lower_needed_and_enough(others: list[tuple[int, int]], cpu: int, priority: int) -> None:
    snapshot = make_snapshot(make_node(cpu="6"))
    for index, (amount, other_priority) in enumerate(others):
        snapshot.put_pod(prepare(f"x{index}", cpu=str(amount), priority=other_priority), "n1")
    pod = prepare("hi", cpu=str(cpu), priority=priority)
    node = snapshot.all()[0]
    outcome = select_victims(PROFILE, pod, node, snapshot)
    if not isinstance(outcome, Candidate):
        kept = sum(other.cpu for other in node.pods.values() if other.priority >= priority)
        assert kept + pod.cpu > node.cpu or kept == node.cpu_used
        return
    assert all(victim.priority < priority for victim in outcome.victims)
    left = node.cpu_used - sum(victim.cpu for victim in outcome.victims)
    assert left + pod.cpu <= node.cpu
    assert all(left + victim.cpu + pod.cpu > node.cpu for victim in outcome.victims)
