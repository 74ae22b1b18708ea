"""Reading thresholds, and which are met."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.node.eviction.settings import DEFAULTS
from agent.node.eviction.signals import Observation, Signal, observe_signals
from agent.node.eviction.thresholds import Amount, Threshold, ThresholdError, parse_thresholds, thresholds_met
from agent.node.host_facts import DiskUsage, HostUsage

GIB = 1 << 30
MIB = 1 << 20


def test_the_four_flags_make_thresholds() -> None:
    found = parse_thresholds(
        "memory.available<100Mi,nodefs.available<10%",
        "memory.available<1Gi",
        "memory.available=1m30s",
        "memory.available=500Mi,nodefs.available=2%",
    )
    reclaim = Amount(quantity=500 * MIB, text="500Mi")
    memory = Signal.MEMORY_AVAILABLE
    assert found == (
        Threshold(signal=memory, value=Amount(quantity=100 * MIB, text="100Mi"), minimum_reclaim=reclaim),
        Threshold(signal=Signal.NODEFS_AVAILABLE, value=Amount(fraction=0.1), minimum_reclaim=Amount(fraction=0.02)),
        Threshold(signal=memory, value=Amount(quantity=GIB, text="1Gi"), grace_seconds=90.0, minimum_reclaim=reclaim),
        replace(found[0], signal=Signal.ALLOCATABLE_MEMORY_AVAILABLE),
    )
    assert [threshold.is_hard for threshold in found] == [True, True, False, True]


@pytest.mark.parametrize("text", ["", "memory.available<0%", "memory.available<100%"])
def test_thresholds_that_are_never_or_always_met_are_left_out(text: str) -> None:
    assert parse_thresholds(text) == ()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param({"hard": "memory.free<1Gi"}, "unsupported eviction signal memory.free", id="an unknown signal"),
        pytest.param({"hard": "memory.available"}, "is not of the form SIGNAL<VALUE", id="no value"),
        pytest.param({"hard": "memory.available=1Gi"}, "is not of the form SIGNAL<VALUE", id="the wrong operator"),
        pytest.param({"hard": "memory.available<0"}, "must be positive", id="nothing"),
        pytest.param({"hard": "memory.available<-3%"}, "must be positive", id="less than nothing"),
        pytest.param({"hard": "memory.available<101%"}, "must be <= 100%", id="more than all"),
        pytest.param({"hard": "memory.available<some"}, "memory.available: quantities must match", id="no quantity"),
        pytest.param({"soft": "memory.available<1Gi"}, "grace period must be specified", id="soft without grace"),
        pytest.param({"soft_grace_periods": "pid.available=soon"}, "is not a duration", id="no duration"),
        pytest.param({"minimum_reclaims": "pid.available=-1"}, "negative eviction minimum reclaim", id="reclaim less"),
    ],
)
def test_flags_that_cannot_be_meant_are_refused(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(ThresholdError, match=words):
        parse_thresholds(**({"hard": ""} | flags))


def met(text: str, available: int, *, reclaim: str = "", with_reclaim: bool = False) -> bool:
    observed = {Signal.MEMORY_AVAILABLE: Observation(available=available, capacity=8 * GIB)}
    thresholds = parse_thresholds(f"memory.available<{text}", minimum_reclaims=reclaim)
    return bool(thresholds_met(thresholds, observed, with_reclaim=with_reclaim))


def test_a_threshold_is_met_below_it_and_not_at_it() -> None:
    assert not met("1Gi", GIB)
    assert met("1Gi", GIB - 1)
    assert met("25%", 2 * GIB - 1)
    assert not met("25%", 2 * GIB)


def test_after_an_eviction_the_minimum_reclaim_counts_too() -> None:
    assert not met("1Gi", GIB + 1, reclaim="memory.available=1Gi")
    assert met("1Gi", 2 * GIB - 1, reclaim="memory.available=1Gi", with_reclaim=True)
    assert not met("1Gi", 2 * GIB, reclaim="memory.available=1Gi", with_reclaim=True)


@given(st.integers(1, 8 * GIB), st.integers(0, 8 * GIB), st.integers(0, 8 * GIB))
def test_less_available_never_unmeets_a_threshold(value: int, more: int, less: int) -> None:
    more, less = max(more, less), min(more, less)
    assert met(str(value), less) or not met(str(value), more)


def test_a_signal_that_cannot_be_told_meets_nothing() -> None:
    assert thresholds_met(parse_thresholds(DEFAULTS["upstream"].hard), observe_signals(HostUsage())) == []


def host(**changes: Any) -> HostUsage:
    disk = DiskUsage(capacity_bytes=500 * GIB, available_bytes=250 * GIB, inodes=10**6, inodes_free=500_000)
    usage: dict[str, Any] = {
        "node_disk": disk,
        "image_disk": disk,
        "memory_bytes": 16 * GIB,
        "memory_available_bytes": 8 * GIB,
        "pid_max": 32768,
        "pids": 700,
    }
    return HostUsage(**(usage | changes))


FULL = DiskUsage(capacity_bytes=500 * GIB, available_bytes=40 * GIB, inodes=10**6, inodes_free=50_000)
OUT = DiskUsage(capacity_bytes=500 * GIB, available_bytes=511 * MIB, inodes=10**6, inodes_free=50_000)


@pytest.mark.parametrize(
    ("profile", "usage", "signals"),
    [
        pytest.param("default", host(), [], id="plenty"),
        pytest.param("upstream", host(), [], id="plenty, upstream"),
        pytest.param("default", host(node_disk=FULL, image_disk=FULL), [], id="a laptop's disk is 92 % full"),
        pytest.param(
            "upstream",
            host(node_disk=FULL, image_disk=FULL),
            ["nodefs.available", "imagefs.available"],
            id="92 % is pressure upstream",
        ),
        pytest.param(
            "default",
            host(node_disk=OUT, image_disk=OUT),
            ["nodefs.available", "imagefs.available"],
            id="the next writes are about to fail",
        ),
        pytest.param("default", host(memory_available_bytes=99 * MIB), ["memory.available"], id="no memory"),
        pytest.param("upstream", host(memory_available_bytes=99 * MIB), ["memory.available"], id="no memory, upstream"),
        pytest.param("default", host(pids=32300), ["pid.available"], id="no process ids"),
        pytest.param("upstream", host(pids=32300), [], id="upstream asks for none by default"),
    ],
)
def test_what_the_profiles_take_for_pressure(profile: str, usage: HostUsage, signals: list[str]) -> None:
    found = thresholds_met(parse_thresholds(DEFAULTS[profile].hard), observe_signals(usage))
    assert [threshold.signal.value for threshold in found] == signals
