from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.timestamps import format_micro_time, format_time, parse_time


@given(st.datetimes(timezones=st.just(UTC)))
def test_micro_time_round_trips(moment: datetime) -> None:
    assert parse_time(format_micro_time(moment)) == moment


@given(st.datetimes(timezones=st.just(UTC)))
def test_time_cuts_the_fraction(moment: datetime) -> None:
    assert parse_time(format_time(moment)) == moment.replace(microsecond=0)


def test_offsets_become_utc() -> None:
    moment = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert format_time(moment) == "2026-02-28T23:30:00Z"
    assert parse_time("2026-03-01T01:30:00.5+02:00") == datetime(2026, 2, 28, 23, 30, 0, 500000, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "x2026-01-01T00:00:00Z"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)
