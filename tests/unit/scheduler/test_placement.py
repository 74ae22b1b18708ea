from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.objects import Object
from control.scheduler.framework import Code
from control.scheduler.placement import (
    Diagnosis,
    choose_node,
    feasible_count_wanted,
    filter_nodes,
    format_diagnosis,
    score_nodes,
)
from control.scheduler.plugins import default_profile
from control.scheduler.preemption import plan_preemption
from tests.unit.scheduler.builders import make_node, make_snapshot, prepare

PROFILE = default_profile()


def explain(pod: Any, *nodes: Object) -> str:
    snapshot = make_snapshot(*nodes)
    filtered = filter_nodes(PROFILE, pod, snapshot)
    assert not filtered.feasible
    preemption = plan_preemption(PROFILE, pod, snapshot, filtered.diagnosis)
    return format_diagnosis(filtered.diagnosis, preemption.message)


@pytest.mark.parametrize(
    ("pod", "nodes", "message"),
    [
        pytest.param(prepare(), [], "no nodes available to schedule pods", id="no nodes"),
        pytest.param(
            prepare(cpu="5"),
            [make_node()],
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are"
            " available: 1 Preemption is not helpful for scheduling.",
            id="more cpu than the node has",
        ),
        pytest.param(
            prepare(cpu="5", memory="9Gi", nodeSelector={"a": "b"}),
            [make_node("x", labels={"a": "b"}), make_node("y")],
            "0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 node(s) didn't match Pod's node"
            " affinity/selector. no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not"
            " helpful for scheduling.",
            id="several reasons are counted and sorted",
        ),
        pytest.param(
            prepare(initContainers=[{"name": "i", "restartPolicyRules": [{"action": "RestartAllContainers"}]}]),
            [make_node("x"), make_node("y", features=["Other"])],
            "0/2 nodes are available: 2 node(s) didn't match Pod's required features. no new claims to deallocate,"
            " preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
            id="no node declares what the Pod needs",
        ),
        pytest.param(
            prepare(),
            [make_node(taints=[{"key": "k", "effect": "NoSchedule"}])],
            "0/1 nodes are available: 1 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/1"
            " nodes are available: 1 Preemption is not helpful for scheduling.",
            id="taint",
        ),
        pytest.param(
            prepare(),
            [make_node(unschedulable=True)],
            "0/1 nodes are available: 1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/1 nodes"
            " are available: 1 Preemption is not helpful for scheduling.",
            id="cordon",
        ),
        pytest.param(
            prepare(cpu="5", preemptionPolicy="Never"),
            [make_node()],
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to"
            " preemptionPolicy=Never.",
            id="never preempts",
        ),
        pytest.param(
            prepare(
                cpu="5",
                affinity={
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["x"]}]}
                            ]
                        }
                    }
                },
            ),
            [make_node("x"), make_node("y")],
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) [NodeAffinity]. no new"
            " claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
            id="tied to one node by name",
        ),
    ],
)
def test_message_is_upstreams(pod: Any, nodes: list[Object], message: str) -> None:
    assert explain(pod, *nodes) == message


def test_host_port_in_use_leaves_no_victim() -> None:
    snapshot = make_snapshot(make_node())
    snapshot.put_pod(prepare("other", host_port=8080), "n1")
    pod = prepare(host_port=8080)
    filtered = filter_nodes(PROFILE, pod, snapshot)
    message = plan_preemption(PROFILE, pod, snapshot, filtered.diagnosis).message
    assert format_diagnosis(filtered.diagnosis, message) == (
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. no new claims to"
        " deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, {"plain"}),
        ({"tolerations": [{"key": "k", "operator": "Exists"}]}, {"plain", "tainted"}),
        (
            {"tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]},
            {"plain", "cordoned"},
        ),
        ({"nodeName": "plain"}, {"plain"}),
        ({"nodeName": "gone"}, set()),
        ({"nodeSelector": {"zone": "a"}, "tolerations": [{"operator": "Exists"}]}, {"tainted"}),
    ],
)
def test_filter_nodes(spec: dict[str, Any], expected: set[str]) -> None:
    snapshot = make_snapshot(
        make_node("plain"),
        make_node("tainted", labels={"zone": "a"}, taints=[{"key": "k", "effect": "NoExecute"}]),
        make_node("cordoned", unschedulable=True),
    )
    filtered = filter_nodes(PROFILE, prepare(**spec), snapshot)
    assert {node.name for node in filtered.feasible} == expected
    assert set(filtered.diagnosis.rejected) == {"plain", "tainted", "cordoned"} - expected


def choose(pod: Any, *nodes: Object, placed: tuple[tuple[str, Any], ...] = ()) -> str:
    snapshot = make_snapshot(*nodes)
    for node_name, other in placed:
        snapshot.put_pod(other, node_name)
    feasible = filter_nodes(PROFILE, pod, snapshot).feasible
    return choose_node(feasible, score_nodes(PROFILE, pod, feasible, snapshot), Random(1)).name


def test_the_emptier_node_wins() -> None:
    placed = (("a", prepare("x", cpu="2", memory="4Gi")),)
    assert choose(prepare(cpu="1"), make_node("a"), make_node("b"), placed=placed) == "b"


def test_a_soft_taint_costs() -> None:
    tainted = make_node("a", taints=[{"key": "k", "effect": "PreferNoSchedule"}])
    assert choose(prepare(), tainted, make_node("b", cpu="2")) == "b"


def test_preferred_affinity_counts() -> None:
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    preferred = [{"weight": 10, "preference": term}]
    pod = prepare(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}})
    assert choose(pod, make_node("a"), make_node("b", labels={"disk": "ssd"})) == "b"


def test_a_node_that_has_a_large_image_wins() -> None:
    node = make_node("b")
    node["status"]["images"] = [{"names": ["nginx:latest"], "sizeBytes": 2 * 10**9}]
    assert choose(prepare(), make_node("a"), node) == "b"


def test_ties_are_broken_by_the_injected_randomness() -> None:
    snapshot = make_snapshot(*(make_node(f"n{index}") for index in range(5)))
    pod = prepare()
    feasible = filter_nodes(PROFILE, pod, snapshot).feasible
    scores = score_nodes(PROFILE, pod, feasible, snapshot)
    names = {choose_node(feasible, scores, Random(seed)).name for seed in range(40)}
    assert names == {f"n{index}" for index in range(5)}
    assert choose_node(feasible, scores, Random(7)) is choose_node(feasible, scores, Random(7))


def test_a_nominated_node_is_taken_first() -> None:
    snapshot = make_snapshot(make_node("a"), make_node("b", cpu="1"))
    pod = prepare(cpu="1", status={"nominatedNodeName": "b"})
    assert [node.name for node in filter_nodes(PROFILE, pod, snapshot).feasible] == ["b"]


def test_room_kept_for_a_nominated_pod_is_not_free_for_a_lesser_one() -> None:
    snapshot = make_snapshot(make_node("a"))
    snapshot.nominate(prepare("high", cpu="3", priority=10), "a")
    assert not filter_nodes(PROFILE, prepare(cpu="2", priority=1), snapshot).feasible
    assert filter_nodes(PROFILE, prepare(cpu="2", priority=11), snapshot).feasible
    assert snapshot.all()[0].cpu_used == 0


def test_the_search_goes_round_and_stops_when_enough_are_found() -> None:
    snapshot = make_snapshot(*(make_node(f"n{index:04}") for index in range(300)))
    first = filter_nodes(PROFILE, prepare(), snapshot, start=250)
    assert (len(first.feasible), first.examined) == (100, 100)
    assert [first.feasible[0].name, first.feasible[-1].name] == ["n0250", "n0049"]


@given(st.integers(0, 20_000))
def test_wanted_count_is_bounded(node_count: int) -> None:
    assert min(node_count, 100) <= feasible_count_wanted(node_count) <= node_count


amounts = st.integers(0, 5000)


@given(
    st.lists(st.tuples(amounts, st.integers(0, 4)), max_size=8),
    amounts,
    st.lists(st.tuples(amounts, st.integers(1, 4)), min_size=1, max_size=4),
)
def test_never_overcommits(placed: list[tuple[int, int]], wanted: int, nodes: list[tuple[int, int]]) -> None:
    snapshot = make_snapshot(
        *(make_node(f"n{index}", cpu=f"{cpu}m", pods=str(pods)) for index, (cpu, pods) in enumerate(nodes))
    )
    for index, (cpu, node_index) in enumerate(placed):
        snapshot.put_pod(prepare(f"x{index}", cpu=f"{cpu}m"), f"n{node_index % len(nodes)}")
    pod = prepare(cpu=f"{wanted}m")
    filtered = filter_nodes(PROFILE, pod, snapshot)
    for node in filtered.feasible:
        assert not wanted or node.cpu_used + wanted <= node.cpu
        assert len(node.pods) < node.pod_count_max
    for name, status in filtered.diagnosis.rejected.items():
        node = snapshot.find(name)  # type: ignore[assignment]
        too_big = bool(wanted) and node.cpu_used + wanted > node.cpu
        assert ("Insufficient cpu" in status.reasons) == too_big
        assert (status.code is Code.UNRESOLVABLE) == (wanted > node.cpu)


def test_diagnosis_names_the_plugins_that_refused() -> None:
    diagnosis = filter_nodes(PROFILE, prepare(cpu="9"), make_snapshot(make_node())).diagnosis
    assert diagnosis.plugins == {"NodeResourcesFit"}
    assert Diagnosis(node_count=0).plugins == frozenset()
