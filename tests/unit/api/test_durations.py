from __future__ import annotations

import pytest

from control.api.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15s", 15), ("1m30s", 90), ("1.5h", 5400), ("500ms", 0.5), ("0", 0), ("0s", 0), (".5s", 0.5), ("2h45m", 9900)],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "15", "s", "-1s", "1 s", "1s ", "1d", "m5"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (15, "15s"), (15.25, "15.25s"), (90, "1m30s"), (60, "1m0s"), (3600.5, "1h0m0.5s"),
        (0.25, "250ms"), (0.0015, "1.5ms"), (1e-6, "1µs"), (2e-9, "2ns"),
    ],
)  # fmt: skip
def test_durations_are_written_as_go_writes_them_and_read_again(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
    assert parse_duration(text) == pytest.approx(seconds)
