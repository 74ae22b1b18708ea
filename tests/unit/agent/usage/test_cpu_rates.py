"""Processor time per second: from two looks that are far enough apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agent.usage.cpu_rates import CpuLook, CpuRates

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def look(seconds: float, nanoseconds: int) -> CpuLook:
    return CpuLook(NOW + timedelta(seconds=seconds), nanoseconds)


def test_the_second_look_tells_the_rate() -> None:
    rates = CpuRates()
    assert rates.update({"a": look(0, 1000), "b": look(0, 0)}) == {}
    assert rates.update({"a": look(2, 5000), "b": look(4, 100)}) == {"a": 2000, "b": 25}


def test_looks_that_are_close_together_tell_the_rate_of_before() -> None:
    rates = CpuRates()
    rates.update({"a": look(0, 0)})
    assert rates.update({"a": look(0.5, 900)}) == {}
    assert rates.update({"a": look(2, 2000)}) == {"a": 1000}
    assert rates.update({"a": look(2.5, 9000)}) == {"a": 1000}
    assert rates.update({"a": look(4, 10000)}) == {"a": 4000}


def test_a_total_or_a_time_that_went_back_begins_anew() -> None:
    rates = CpuRates()
    rates.update({"a": look(0, 5000), "b": look(10, 0)})
    assert rates.update({"a": look(2, 10), "b": look(0, 100)}) == {}
    assert rates.update({"a": look(3, 20), "b": look(1, 200)}) == {"a": 10, "b": 100}


def test_what_is_gone_is_forgotten() -> None:
    rates = CpuRates()
    rates.update({"a": look(0, 0)})
    rates.update({})
    assert rates.update({"a": look(9, 9)}) == {}
