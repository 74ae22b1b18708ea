"""Which Pods make room for a critical one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.node.preemption import choose_victims, failure_message
from control.api.fit import InsufficientResource
from control.api.objects import Object
from control.api.pods import pod_requests, qos_class
from tests.fakes.agent_node import make_pod

CRITICAL = 2_000_000_000


def pod(name: str, cpu: int = 0, memory: int = 0, *, priority: int = 0, guaranteed: bool = False) -> Object:
    requests = {name: text for name, text in (("cpu", f"{cpu}m"), ("memory", str(memory))) if text not in ("0m", "0")}
    limits = {"limits": requests} if guaranteed else {}
    return make_pod(name, priority=priority, containers=[{"name": "c", "resources": {"requests": requests, **limits}}])


def lacking(**amounts: int) -> list[InsufficientResource]:
    """So much is missing on a node that is full."""
    return [InsufficientResource(name, amount, 1000, 1000) for name, amount in amounts.items()]


def victims(running: list[Object], preemptor: Object | None = None, /, **amounts: int) -> list[str] | None:
    found = choose_victims(preemptor or pod("critical", priority=CRITICAL), running, lacking(**amounts))
    return None if found is None else [item["metadata"]["name"] for item in found]


@pytest.mark.parametrize(
    ("pods", "wanted", "expected"),
    [
        pytest.param([pod("big", 900), pod("fits", 200), pod("small", 100)], {"cpu": 200}, ["fits"], id="the nearest"),
        pytest.param(
            [pod("big", 900), pod("fits", 250)], {"cpu": 200}, ["fits"], id="of those that suffice the smaller"
        ),
        pytest.param([pod("a", 100), pod("b", 150)], {"cpu": 200}, ["b", "a"], id="as many as it takes"),
        pytest.param(
            [pod("best-effort"), pod("burstable", 300), pod("guaranteed", 300, 300, guaranteed=True)],
            {"cpu": 200},
            ["burstable"],
            id="who is guaranteed is spared",
        ),
        pytest.param(
            [pod("best-effort"), pod("burstable", 300), pod("guaranteed", 300, 300, guaranteed=True)],
            {"cpu": 500},
            ["guaranteed", "burstable"],
            id="unless the others cannot give it",
        ),
        pytest.param([pod("best-effort"), pod("burstable", 1)], {"pods": 1}, ["best-effort"], id="a place is a place"),
        pytest.param([pod("small", 100)], {"cpu": 200}, None, id="not enough"),
        pytest.param([pod("other", 900, priority=CRITICAL)], {"cpu": 200}, None, id="critical Pods are spared"),
        pytest.param(
            [pod("cpu", 500), pod("memory", 0, 500), pod("both", 200, 200)],
            {"cpu": 200, "memory": 200},
            ["both"],
            id="nearest in everything that is wanted",
        ),
    ],
)
def test_victims(pods: list[Object], wanted: dict[str, int], expected: list[str] | None) -> None:
    assert victims(pods, **wanted) == expected


def test_a_higher_priority_preempts_among_critical_pods() -> None:
    node_critical = pod("node-critical", priority=CRITICAL + 1000)
    assert victims([pod("cluster-critical", 300, priority=CRITICAL)], node_critical, cpu=200) == ["cluster-critical"]


def test_a_static_pod_of_equal_priority_is_not_preempted() -> None:
    static = pod("static", 300, priority=CRITICAL)
    static["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert victims([static], cpu=200) is None


def test_the_words_for_no_room_are_upstream_s() -> None:
    assert failure_message([InsufficientResource("cpu", 300, 900, 1000), InsufficientResource("pods", 1, 5, 5)]) == (
        "Unexpected error while attempting to recover from admission failure: preemption: error finding a set of pods "
        "to preempt: no set of running pods found to reclaim resources: [(res: cpu, q: 200), (res: pods, q: 1), ]"
    )


nodes: Any = st.lists(
    st.builds(
        pod,
        st.uuids().map(str),
        st.integers(0, 5),
        st.integers(0, 5),
        priority=st.sampled_from([0, CRITICAL]),
        guaranteed=st.booleans(),
    ),
    max_size=8,
)


@given(pods=nodes, cpu=st.integers(1, 12), memory=st.integers(1, 12))
def test_victims_give_what_is_wanted_and_nobody_goes_in_vain(pods: list[Object], cpu: int, memory: int) -> None:
    wanted = {"cpu": cpu, "memory": memory}
    spared = [item for item in pods if item["spec"]["priority"] == CRITICAL]
    others = [item for item in pods if item not in spared]
    chosen = choose_victims(pod("critical", priority=CRITICAL), pods, lacking(**wanted))

    def given_by(some: list[Object]) -> dict[str, int]:
        return {name: sum(pod_requests(item).get(name, 0) for item in some) for name in wanted}

    if chosen is None:
        assert any(given_by(others)[name] < wanted[name] for name in wanted)
        return
    assert all(given_by(list(chosen))[name] >= wanted[name] for name in wanted)
    assert not [item for item in chosen if item in spared]
    if any(qos_class(item) == "Guaranteed" for item in chosen):
        rest = [item for item in others if qos_class(item) != "Guaranteed"]
        assert any(given_by(rest)[name] < wanted[name] for name in wanted)
