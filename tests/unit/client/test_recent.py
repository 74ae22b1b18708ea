"""Memory of bounded size: what was not used for the longest time goes first."""

from __future__ import annotations

from control.client.recent import Recent


def test_what_is_used_stays() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.find("a") == 1
    recent.put("c", 3)
    assert [recent.find(key) for key in ("a", "b", "c")] == [1, None, 3]
    recent.put("a", 4)
    recent.put("d", 5)
    assert [recent.find(key) for key in ("a", "c", "d")] == [4, None, 5]


def test_what_is_forgotten_is_unknown() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.forget("a")
    recent.forget("a")
    assert recent.find("a") is None
