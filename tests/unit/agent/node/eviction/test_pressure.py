"""From one look at the signals to the next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.node.eviction.pressure import NO_PRESSURE, Pressure, compute_pressure
from agent.node.eviction.signals import Observation, Signal
from agent.node.eviction.thresholds import Threshold, parse_thresholds

CAPACITY = 1000
HARD = parse_thresholds("memory.available<100", minimum_reclaims="memory.available=50")[:1]
SOFT = parse_thresholds("", "memory.available<200", "memory.available=30s")


def look(
    before: Pressure, thresholds: tuple[Threshold, ...], available: int, now: float, transition: float = 60.0
) -> Pressure:
    observed = {Signal.MEMORY_AVAILABLE: Observation(available=available, capacity=CAPACITY)}
    return compute_pressure(before, thresholds, observed, now=now, transition_seconds=transition)


def test_a_hard_threshold_is_due_at_once() -> None:
    found = look(NO_PRESSURE, HARD, 99, now=5.0)
    assert (found.due, found.conditions) == (HARD, {"MemoryPressure"})


def test_a_soft_threshold_tells_its_condition_at_once_and_is_due_after_its_grace_period() -> None:
    pressure = look(NO_PRESSURE, SOFT, 199, now=0.0)
    assert (pressure.due, pressure.conditions) == ((), {"MemoryPressure"})
    assert look(pressure, SOFT, 150, now=29.9).due == ()
    assert look(pressure, SOFT, 150, now=30.0).due == SOFT


def test_a_grace_period_begins_anew_after_a_moment_without_pressure() -> None:
    pressure = look(NO_PRESSURE, SOFT, 199, now=0.0)
    pressure = look(pressure, SOFT, 200, now=20.0)
    pressure = look(pressure, SOFT, 199, now=25.0)
    assert look(pressure, SOFT, 199, now=40.0).due == ()
    assert look(pressure, SOFT, 199, now=55.0).due == SOFT


def test_a_threshold_stays_due_until_the_minimum_reclaim_is_free_too() -> None:
    pressure = look(NO_PRESSURE, HARD, 99, now=0.0)
    assert look(pressure, HARD, 149, now=1.0).due == HARD
    assert look(pressure, HARD, 150, now=1.0).due == ()
    assert look(NO_PRESSURE, HARD, 149, now=1.0).due == (), "the minimum reclaim is not a threshold by itself"


def test_a_condition_stays_for_the_transition_period_after_it_was_last_seen() -> None:
    pressure = look(NO_PRESSURE, HARD, 99, now=0.0)
    pressure = look(pressure, HARD, 500, now=10.0)
    assert pressure.conditions == {"MemoryPressure"}
    assert look(pressure, HARD, 500, now=59.9).conditions == {"MemoryPressure"}
    assert look(pressure, HARD, 500, now=60.0).conditions == frozenset()
    assert look(NO_PRESSURE, HARD, 99, now=0.0, transition=0.0).conditions == {"MemoryPressure"}


def test_memory_is_reclaimed_before_anything_else() -> None:
    thresholds = parse_thresholds("nodefs.available<50%,pid.available<50%,memory.available<50%")
    short = Observation(available=1, capacity=100)
    observed = {
        Signal.NODEFS_AVAILABLE: short,
        Signal.PID_AVAILABLE: short,
        Signal.MEMORY_AVAILABLE: short,
    }
    found = compute_pressure(NO_PRESSURE, thresholds, observed, now=0.0, transition_seconds=1.0)
    assert found.due[0].signal is Signal.MEMORY_AVAILABLE
    assert found.conditions == {"MemoryPressure", "DiskPressure", "PIDPressure"}


steps = st.lists(st.tuples(st.integers(0, CAPACITY), st.floats(0.1, 50)), min_size=1, max_size=30)


@given(steps=steps, transition=st.floats(0, 100))
def test_pressure_is_told_and_acted_on_by_the_rules_whatever_was_observed(
    steps: list[tuple[int, float]], transition: float
) -> None:
    """A condition never lacks while its threshold is met, nor is told longer than the transition period after it."""
    pressure, now, last_met, soft_since = NO_PRESSURE, 0.0, None, None
    for available, passed in steps:
        now += passed
        pressure = look(pressure, HARD + SOFT, available, now, transition)
        is_held = available < 200 or bool(pressure.due)
        last_met = now if is_held else last_met
        if available >= 200:
            soft_since = None
        elif soft_since is None:
            soft_since = now
        expected = last_met is not None and (last_met == now or now - last_met < transition)
        assert ("MemoryPressure" in pressure.conditions) == expected
        assert (available >= 100) or HARD[0] in pressure.due
        assert (SOFT[0] in pressure.due) == (soft_since is not None and now - soft_since >= 30)
