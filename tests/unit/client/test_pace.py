"""How soon a key may have another turn."""

from __future__ import annotations

import pytest

from control.client.pace import REMEMBERED_MIN, SECONDS_PER_TURN, TURNS_AT_ONCE, Pace


def pace_after(turns: int) -> Pace:
    pace = Pace()
    for _ in range(turns):
        pace.note_turn("a", 100)
    return pace


@pytest.mark.parametrize(
    ("turns", "seconds"),
    [
        pytest.param(0, 0, id="a key without turns waits for nothing"),
        pytest.param(TURNS_AT_ONCE - 1, 0, id="so does one with few"),
        pytest.param(TURNS_AT_ONCE, SECONDS_PER_TURN, id="one that has used them up waits for the next"),
        pytest.param(9 * TURNS_AT_ONCE, SECONDS_PER_TURN, id="and for no more than that, however many it had"),
    ],
)
def test_seconds_to_turn(turns: int, seconds: float) -> None:
    assert pace_after(turns).seconds_to_turn("a", 100) == pytest.approx(seconds)


def test_turns_come_back_with_time() -> None:
    pace = pace_after(TURNS_AT_ONCE)
    assert pace.seconds_to_turn("a", 100 + SECONDS_PER_TURN) == pytest.approx(0)
    assert pace.seconds_to_turn("b", 100) == 0


def test_keys_at_rest_are_forgotten() -> None:
    pace = pace_after(TURNS_AT_ONCE)
    for number in range(REMEMBERED_MIN):
        pace.note_turn(f"key-{number}", 100)
    assert pace.seconds_to_turn("a", 100) > 0
    for number in range(5 * REMEMBERED_MIN):
        pace.note_turn(f"other-{number}", 200 + number)
    assert pace.remembered <= REMEMBERED_MIN
