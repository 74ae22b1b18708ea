"""What a node keeps from its Pods."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.node.eviction.thresholds import parse_thresholds
from agent.node.reservations import (
    NOTHING_RESERVED,
    ReservationError,
    Reservations,
    allocatable_amounts,
    check_reservations,
    parse_reserved,
)

CAPACITY = {"cpu": 4000, "memory": 8 << 30, "ephemeral-storage": 100 << 30, "pods": 110}


def test_a_reservation_is_read_in_the_scheduler_s_units() -> None:
    assert parse_reserved("cpu=250m, memory=1Gi,ephemeral-storage=2G") == {
        "cpu": 250,
        "memory": 1 << 30,
        "ephemeral-storage": 2 * 10**9,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("pid=100", "cannot reserve 'pid'", id="there is no cgroup of all Pods to limit pids"),
        pytest.param("gpu=1", "cannot reserve 'gpu'", id="a resource that cannot be reserved"),
        pytest.param("cpu=lots", "quantities must match", id="no quantity"),
        pytest.param("cpu", "quantities must match", id="no value"),
        pytest.param("memory=-1Gi", "cannot be negative", id="a negative amount"),
    ],
)
def test_a_reservation_that_cannot_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(ReservationError, match=words):
        parse_reserved(text)


def test_more_than_there_is_cannot_be_reserved() -> None:
    check_reservations(Reservations(kube={"cpu": 2000}, system={"cpu": 2000}), CAPACITY)
    with pytest.raises(ReservationError, match='"cpu" has a reservation of 4001m but capacity of 4'):
        check_reservations(Reservations(kube={"cpu": 2001}, system={"cpu": 2000}), CAPACITY)


def test_only_hard_thresholds_of_memory_and_nodefs_are_kept_from_pods() -> None:
    thresholds = parse_thresholds(
        "memory.available<1Gi,imagefs.available<50%,pid.available<10%", "nodefs.available<50%", "nodefs.available=1m"
    )
    left = allocatable_amounts(CAPACITY, NOTHING_RESERVED, thresholds)
    assert left == CAPACITY | {"memory": 7 << 30}


amounts = st.fixed_dictionaries({name: st.integers(0, 200 << 30) for name in CAPACITY})


@given(capacity=amounts, kube=amounts, system=amounts, memory=st.integers(1, 1 << 40), disk=st.integers(1, 99))
def test_allocatable_is_never_negative_and_never_more_than_capacity(
    capacity: dict[str, int], kube: dict[str, int], system: dict[str, int], memory: int, disk: int
) -> None:
    thresholds = parse_thresholds(f"memory.available<{memory},nodefs.available<{disk}%")
    left = allocatable_amounts(capacity, Reservations(kube=kube, system=system), thresholds)
    assert left.keys() == capacity.keys()
    assert all(0 <= left[name] <= capacity[name] for name in capacity)
