"""Counting of files is not done again at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agent.node.eviction.pod_usage import PodUse
from agent.usage.file_looks import FRESH_SECONDS, FileLooks
from control.api.clock import FakeClock
from control.api.objects import ReadOnlyObject


def pod(uid: str) -> ReadOnlyObject:
    return {"metadata": {"uid": uid}}


async def test_a_count_serves_for_a_while_and_whoever_comes_meanwhile() -> None:
    clock, asked = FakeClock(), []

    async def measure(pods: Sequence[ReadOnlyObject]) -> dict[str, PodUse]:
        asked.append([one["metadata"]["uid"] for one in pods])
        return {one["metadata"]["uid"]: PodUse() for one in pods}

    looks = FileLooks(measure, clock)
    one, two = await asyncio.gather(looks.look([pod("a")]), looks.look([pod("a"), pod("b")]))
    assert (set(one), set(two)) == ({"a"}, {"a", "b"})
    assert asked == [["a"], ["b"]]
    await clock.advance(FRESH_SECONDS)
    await looks.look([pod("a")])
    assert asked[2:] == [["a"]]
