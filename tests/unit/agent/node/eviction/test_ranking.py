"""Which Pod goes first."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.node.eviction.pod_usage import ContainerUse, FileUsage, PodUse
from agent.node.eviction.ranking import rank_pods, used_amount
from agent.node.eviction.signals import RESOURCES, Signal
from control.api.objects import Object
from control.api.pods import pod_requests, priority_of
from tests.fakes.agent_node import make_pod

MIB = 1 << 20


def pod(name: str, *, priority: int = 0, **requests: str) -> Object:
    amounts = {key.replace("_", "-"): value for key, value in requests.items()}
    return make_pod(name, priority=priority, containers=[{"name": "c", "resources": {"requests": amounts}}])


def use(memory: int = 0, *, processes: int = 0, written: int = 0, volumes: int = 0, inodes: int = 0) -> PodUse:
    files = FileUsage(used_bytes=written, inodes=inodes)
    return PodUse(
        containers={"c": ContainerUse(memory_bytes=memory, processes=processes, files=files)},
        volumes={"v": FileUsage(used_bytes=volumes)},
    )


def ranked(signal: Signal, *items: tuple[Object, PodUse | None], has_image_disk: bool = False) -> list[str]:
    uses = {item["metadata"]["uid"]: one for item, one in items if one is not None}
    found = rank_pods([item for item, _ in items], uses, signal, has_image_disk=has_image_disk)
    return [item["metadata"]["name"] for item in found]


def test_memory_first_those_over_their_requests_then_by_priority_then_by_excess() -> None:
    order = ranked(
        Signal.MEMORY_AVAILABLE,
        (pod("keeps-to-its-request", memory="500Mi"), use(400 * MIB)),
        (pod("uses-half-of-its-request", memory="400Mi"), use(200 * MIB)),
        (pod("over-but-important", priority=10, memory="10Mi"), use(900 * MIB)),
        (pod("far-over"), use(300 * MIB)),
        (pod("a-little-over", memory="200Mi"), use(250 * MIB)),
    )
    assert order == [
        "far-over",
        "a-little-over",
        "over-but-important",
        "keeps-to-its-request",
        "uses-half-of-its-request",
    ]


def test_using_exactly_the_request_is_not_using_more() -> None:
    exact = (pod("exact", memory="100Mi"), use(100 * MIB))
    over = (pod("over", priority=5, memory="1Mi"), use(2 * MIB))
    assert ranked(Signal.MEMORY_AVAILABLE, exact, over) == ["over", "exact"]


def test_process_ids_by_priority_then_by_number() -> None:
    order = ranked(
        Signal.PID_AVAILABLE,
        (pod("many-but-important", priority=1), use(processes=900)),
        (pod("few"), use(processes=3)),
        (pod("many"), use(processes=300)),
    )
    assert order == ["many", "few", "many-but-important"]


@pytest.mark.parametrize("signal", [Signal.NODEFS_AVAILABLE, Signal.IMAGEFS_AVAILABLE])
def test_on_one_disk_layers_logs_and_volumes_count_together(signal: Signal) -> None:
    order = ranked(
        signal,
        (pod("has-asked", ephemeral_storage="1Gi"), use(written=500 * MIB, volumes=400 * MIB)),
        (pod("volumes"), use(volumes=30 * MIB)),
        (pod("both"), use(written=20 * MIB, volumes=20 * MIB)),
    )
    assert order == ["both", "volumes", "has-asked"]


@pytest.mark.parametrize(
    ("signal", "order"),
    [(Signal.NODEFS_AVAILABLE, ["volumes", "layers"]), (Signal.IMAGEFS_AVAILABLE, ["layers", "volumes"])],
)
def test_on_two_disks_each_counts_what_it_holds(signal: Signal, order: list[str]) -> None:
    layers = (pod("layers"), use(written=500 * MIB))
    volumes = (pod("volumes"), use(volumes=10 * MIB))
    assert ranked(signal, layers, volumes, has_image_disk=True) == order


def test_inodes_count_as_such() -> None:
    few, many = (pod("few"), use(written=900 * MIB, inodes=5)), (pod("many"), use(written=MIB, inodes=9000))
    assert ranked(Signal.NODEFS_INODES_FREE, few, many) == ["many", "few"]


def test_a_pod_that_cannot_be_measured_goes_first() -> None:
    known, unknown = (pod("known"), use(900 * MIB)), (pod("unknown", priority=1000), None)
    assert ranked(Signal.MEMORY_AVAILABLE, known, unknown) == ["unknown", "known"]


cases: Any = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.one_of(st.none(), st.integers(0, 5))), max_size=8
)


@given(cases=cases, signal=st.sampled_from(list(Signal)))
def test_nobody_goes_before_a_pod_that_is_worse_by_every_rule(
    cases: list[tuple[int, int, int | None]], signal: Signal
) -> None:
    pods, uses = [], {}
    for number, (priority, request, used) in enumerate(cases):
        made = pod(f"p{number}", priority=priority, memory=str(request), ephemeral_storage=str(request))
        pods.append(made)
        if used is not None:
            uses[made["metadata"]["uid"]] = use(used, processes=used, written=used, inodes=used)
    order = rank_pods(pods, uses, signal, has_image_disk=False)
    assert sorted(order, key=id) == sorted(pods, key=id)
    for before, after in itertools.pairwise(order):
        one, other = (uses.get(item["metadata"]["uid"]) for item in (before, after))
        if one is None or other is None:
            assert one is None
            continue
        requests = [pod_requests(item).get(RESOURCES[signal], 0) for item in (before, after)]
        amounts = [used_amount(item, signal, has_image_disk=False) for item in (one, other)]
        if signal is not Signal.PID_AVAILABLE:
            assert amounts[0] > requests[0] or amounts[1] <= requests[1]
            if (amounts[0] > requests[0]) == (amounts[1] > requests[1]):
                assert priority_of(before) <= priority_of(after)
        else:
            assert priority_of(before) <= priority_of(after)
            assert priority_of(before) < priority_of(after) or amounts[0] >= amounts[1]
