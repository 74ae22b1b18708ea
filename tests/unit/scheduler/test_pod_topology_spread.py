from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.scheduler.placement import filter_nodes
from control.scheduler.plugins import default_profile
from control.scheduler.prepared import PreparedPod
from control.scheduler.snapshot import Snapshot
from tests.unit.scheduler.builders import make_node, make_pod, make_snapshot

PROFILE = default_profile()
WEB = {"app": "web"}


def constraint(**fields: Any) -> dict[str, Any]:
    base = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    return {**base, "labelSelector": {"matchLabels": WEB}, **fields}


def pod(name: str = "p", *constraints: dict[str, Any], labels: Any = None, **spec: Any) -> PreparedPod:
    made = make_pod(name, topologySpreadConstraints=list(constraints), **spec)
    made["metadata"]["labels"] = WEB if labels is None else labels
    return PreparedPod(made)


def cluster(*placed: str) -> Snapshot:
    snapshot = make_snapshot(
        make_node("a", labels={"zone": "a"}),
        make_node("b", labels={"zone": "b"}),
        make_node("c", labels={"zone": "c"}, taints=[{"key": "k", "effect": "NoSchedule"}]),
        make_node("none"),
    )
    for index, node_name in enumerate(placed):
        snapshot.put_pod(pod(f"x{index}"), node_name)
    return snapshot


@pytest.mark.parametrize(
    ("candidate", "placed", "expected"),
    [
        pytest.param(pod("p", constraint()), "", "ab", id="one more anywhere with the key"),
        pytest.param(pod("p", constraint()), "a", "b", id="the tainted zone counts as empty"),
        pytest.param(pod("p", constraint(nodeTaintsPolicy="Honor")), "ab", "ab", id="unless taints are honoured"),
        pytest.param(pod("p", constraint()), "ab", "", id="no zone is left"),
        pytest.param(pod("p", constraint(maxSkew=2)), "ab", "ab", id="a larger skew"),
        pytest.param(pod("p", constraint(), labels={}), "a", "ab", id="a pod that is not counted itself"),
        pytest.param(pod("p", constraint(whenUnsatisfiable="ScheduleAnyway")), "aa", ["a", "b", "none"], id="a wish"),
        pytest.param(
            pod("p", constraint(), nodeSelector={"zone": "a"}), "aaa", "a", id="only the zones it may go to count"
        ),
        pytest.param(
            pod("p", constraint(minDomains=2), nodeSelector={"zone": "a"}), "a", "", id="too few domains count as empty"
        ),
    ],
)
def test_spread(candidate: PreparedPod, placed: str, expected: Any) -> None:
    filtered = filter_nodes(PROFILE, candidate, cluster(*placed))
    assert {node.name for node in filtered.feasible} == set(expected)


def test_reasons_are_upstreams() -> None:
    rejected = filter_nodes(PROFILE, pod("p", constraint()), cluster("a", "b")).diagnosis.rejected
    assert rejected["a"].reasons == ("node(s) didn't match pod topology spread constraints",)
    assert rejected["none"].reasons == (
        "node(s) didn't match pod topology spread constraints (missing required label)",
    )


@given(st.lists(st.integers(0, 2), max_size=12), st.integers(1, 3))
def test_never_more_uneven_than_allowed(order: list[int], skew: int) -> None:
    snapshot = make_snapshot(*(make_node(f"n{index}", labels={"zone": str(index)}) for index in range(3)))
    for index, preference in enumerate(order):
        candidate = pod(f"x{index}", constraint(maxSkew=skew))
        feasible = filter_nodes(PROFILE, candidate, snapshot).feasible
        assert feasible
        snapshot.put_pod(candidate, feasible[preference % len(feasible)].name)
        sizes = [len(node.pods) for node in snapshot.all()]
        assert max(sizes) - min(sizes) <= skew
