"""`Pace`: how soon a key may have another turn for a change that may wait. A token bucket per key.

Upstream's controllers are held back by their client's rate limit (--kube-api-qps), which folds the changes of a crowd
of objects into few writes of their owner's status; here nothing but this does.
"""

from __future__ import annotations

TURNS_AT_ONCE = 10
SECONDS_PER_TURN = 0.2
#: Keys remembered before those that have all their turns again are forgotten.
REMEMBERED_MIN = 1000


class Pace:
    """Every turn of a key counts; `seconds` are monotonic."""

    def __init__(self) -> None:
        #: when a key has all its turns again
        self._whole_at: dict[str, float] = {}
        self._remembered_max = REMEMBERED_MIN

    @property
    def remembered(self) -> int:
        """How many keys are remembered."""
        return len(self._whole_at)

    def note_turn(self, key: str, seconds: float) -> None:
        """Count a turn. However many there were, the next that may wait comes after that of one turn."""
        begin = max(self._whole_at.get(key, seconds), seconds)
        self._whole_at[key] = min(begin + SECONDS_PER_TURN, seconds + TURNS_AT_ONCE * SECONDS_PER_TURN)
        if len(self._whole_at) > self._remembered_max:
            self._whole_at = {known: at for known, at in self._whole_at.items() if at > seconds}
            self._remembered_max = max(REMEMBERED_MIN, 2 * len(self._whole_at))

    def seconds_to_turn(self, key: str, seconds: float) -> float:
        """How long a change that may wait has to."""
        return max(0.0, self._whole_at.get(key, seconds) - seconds - (TURNS_AT_ONCE - 1) * SECONDS_PER_TURN)
