"""Waiting for Pods to hold nothing of their node any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from control.api.clock import Clock
from control.api.objects import ReadOnlyObject

POLL_SECONDS = 0.5


async def wait_until_released(
    pods: Iterable[ReadOnlyObject], is_released: Callable[[str], bool], clock: Clock, *, seconds_max: float = inf
) -> bool:
    """Return when `is_released` holds for every Pod's UID, or False when that takes too long."""
    uids = [pod["metadata"]["uid"] for pod in pods]
    deadline = clock.monotonic() + seconds_max
    while not all(is_released(uid) for uid in uids):
        if clock.monotonic() >= deadline:
            return False
        await clock.sleep(POLL_SECONDS)
    return True
