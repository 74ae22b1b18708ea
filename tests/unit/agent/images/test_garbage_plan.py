"""Which images go, in which order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.images.garbage_plan import (
    NEVER,
    DiskState,
    ImageUse,
    excess_bytes,
    find_expired,
    full_disk_message,
    rank_for_space,
)
from agent.images.settings import GarbagePolicy
from agent.runtime.protocol import ImageRecord

POLICY = GarbagePolicy()
NOW = 10_000.0


def use(name: str, *, last_used: float = NEVER, first_seen: float = NEVER, in_use: bool = False) -> ImageUse:
    return ImageUse(
        image=ImageRecord(id=name, size_bytes=10), first_seen=first_seen, last_used=last_used, in_use=in_use
    )


@pytest.mark.parametrize(
    ("available", "policy", "excess"),
    [
        pytest.param(160, POLICY, 0, id="below the high threshold"),
        pytest.param(150, POLICY, 50, id="at the high threshold, down to the low one"),
        pytest.param(0, POLICY, 200, id="a full disk"),
        pytest.param(2000, POLICY, 0, id="more available than there is"),
        pytest.param(0, GarbagePolicy(high_percent=100, low_percent=99), 0, id="switched off"),
        pytest.param(995, GarbagePolicy(high_percent=1, low_percent=0), 5, id="a fraction of a percent counts as one"),
    ],
)
def test_excess_bytes(available: int, policy: GarbagePolicy, excess: int) -> None:
    assert excess_bytes(DiskState(capacity_bytes=1000, available_bytes=available), policy) == excess


def test_unused_longest_goes_first_and_what_was_never_used_before_it() -> None:
    uses = [
        use("recent", last_used=NOW - 200),
        use("used", last_used=NOW, in_use=True),
        use("old", last_used=NOW - 5000),
        use("never, seen later", first_seen=NOW - 300),
        use("young", first_seen=NOW - 119),
        use("never"),
    ]

    ranked = [image.id for image in rank_for_space(uses, POLICY, NOW)]

    assert ranked == ["never", "never, seen later", "old", "recent"]


@pytest.mark.parametrize(
    ("one", "began", "expired"),
    [
        pytest.param(use("a", last_used=NOW - 3601), 0.0, True, id="unused for longer"),
        pytest.param(use("a", last_used=NOW - 3600), 0.0, False, id="unused for as long"),
        pytest.param(use("a", first_seen=NOW - 60), 0.0, False, id="new and not yet used"),
        pytest.param(use("a"), 0.0, True, id="never used"),
        pytest.param(use("a"), NOW - 3600, False, id="the agent is younger"),
        pytest.param(use("a", last_used=NOW, in_use=True), 0.0, False, id="in use"),
    ],
)
def test_images_expire(one: ImageUse, began: float, expired: bool) -> None:
    policy = GarbagePolicy(maximum_age_seconds=3600)

    assert bool(find_expired([one], policy, NOW, began=began)) is expired
    assert find_expired([one], POLICY, NOW, began=began) == []


times = st.one_of(st.just(NEVER), st.floats(0, NOW))


@given(st.lists(st.tuples(times, times, st.booleans()), max_size=20), st.floats(1, NOW))
def test_never_what_is_in_use(drawn: list[tuple[float, float, bool]], oldest: float) -> None:
    uses = [
        use(str(number), last_used=last, first_seen=first, in_use=busy)
        for number, (last, first, busy) in enumerate(drawn)
    ]
    policy = GarbagePolicy(minimum_age_seconds=0, maximum_age_seconds=oldest)
    idle = {one.image.id for one in uses if not one.in_use}

    assert {image.id for image in rank_for_space(uses, policy, NOW)} == idle
    assert {image.id for image in find_expired(uses, policy, NOW, began=NEVER)} <= idle


def test_the_message_of_a_full_disk() -> None:
    disk = DiskState(capacity_bytes=96_530_000_000, available_bytes=14_000_000_000)

    assert full_disk_message(disk, 36018163).startswith(
        "Insufficient free disk space on the node's image filesystem (86% of 89.9 GiB used). "
        "Failed to free sufficient space by deleting unused images (freed 36018163 bytes). "
    )
