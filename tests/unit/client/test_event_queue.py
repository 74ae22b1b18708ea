"""What waits to be written as an Event: bounded, in order, under names that are never the same."""

from __future__ import annotations

import asyncio

from control.api.clock import FakeClock
from control.client.event_queue import EventNames, EventQueue


def test_events_beyond_the_bound_are_dropped() -> None:
    queue = EventQueue(2)
    for reason in ("A", "B", "C"):
        queue.put({"reason": reason})
    assert [event["reason"] for event in queue.take(5)] == ["A", "B"]
    assert queue.take(5) == []


async def test_they_are_written_whenever_some_wait() -> None:
    queue, stop = EventQueue(9), asyncio.Event()
    written: list[list[str]] = []

    async def write_all() -> None:
        written.append([event["reason"] for event in queue.take(9)])

    running = asyncio.ensure_future(queue.run(stop, write_all))
    for reasons in (("A", "B"), ("C",)):
        for reason in reasons:
            queue.put({"reason": reason})
        for _ in range(5):
            await asyncio.sleep(0)
    stop.set()
    await running
    assert written == [["A", "B"], ["C"]]


def test_two_events_of_one_moment_have_names_of_their_own() -> None:
    names, now = EventNames(), FakeClock().now()
    pod = {"metadata": {"name": "p", "namespace": "shop"}}
    first, second = (names.make_metadata(pod, now) for _ in range(2))
    assert first["name"] != second["name"]
    assert first["namespace"] == "shop"
    assert names.make_metadata({"metadata": {"name": "n"}}, now)["namespace"] == "default"
