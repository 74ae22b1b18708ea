from __future__ import annotations

from agent.usage.pressure import Pressure, Stall, parse_pressure


def test_both_lines_are_read() -> None:
    text = "some avg10=1.50 avg60=2.00 avg300=0.25 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"
    some = Stall(avg10=1.5, avg60=2.0, avg300=0.25, total=1234)
    assert parse_pressure(text) == Pressure(some=some, full=Stall(total=5))


def test_a_kernel_without_full_for_processors_has_zeros() -> None:
    assert parse_pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=9\n").full == Stall()
