"""Pulls under way: shared, bounded, watched, given up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.images.credential_records import Verification
from agent.images.pull_records import PullRecords
from agent.images.pulled_images import PulledImages
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.images import ImagePuller
from agent.runtime.protocol import ImageRecord, PullProgress, RuntimeFailure
from agent.runtime.shared_pulls import LINGER_SECONDS, PullLimits
from control.api.clock import FakeClock

MIB = 1 << 20


class Node:
    """A puller over a fake engine whose pulls hang until they are let go."""

    def __init__(self, directory: Path, **limits: Any) -> None:
        self.clock = FakeClock()
        self.runtime = FakeRuntime(self.clock)
        pulled = PulledImages(directory)
        self.puller = ImagePuller(
            runtime=self.runtime,
            pulled=pulled,
            credential_records=PullRecords(directory, Verification()),
            clock=self.clock,
            limits=PullLimits(**limits),
        )
        self.events: list[str] = []

    def hang(self, reference: str) -> None:
        self.runtime.add_registry_image(reference)
        self.runtime.pull_gates[reference] = asyncio.get_running_loop().create_future()

    def let_go(self, reference: str) -> None:
        self.runtime.pull_gates.pop(reference).set_result(None)

    def hear(self, reference: str, downloaded: int, size: int, *, queued: bool = False) -> None:
        progress = PullProgress(downloaded_bytes=downloaded, size_bytes=size, is_queued=queued)
        self.runtime.pull_progress[reference](progress)

    async def start(self, reference: str, pod_uid: str = "u") -> asyncio.Task[ImageRecord]:
        def record(type: str, reason: str, message: str) -> None:
            self.events.append(f"{reason}: {message}")

        ensuring = self.puller.ensure_image(reference, policy="Always", pod_uid=pod_uid, record_event=record)
        task = asyncio.ensure_future(ensuring)
        await self.settle()
        return task

    async def settle(self, seconds: float = 0.0) -> None:
        await self.clock.advance(seconds)
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)
        for _ in range(20):
            await asyncio.sleep(0)

    def pulls(self) -> int:
        return self.runtime.verbs().count("pull_image")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def test_a_long_pull_is_reported_more_and_more_rarely(node: Node) -> None:
    node.hang("big:1")
    pull = await node.start("big:1")
    await node.settle(10)
    node.hear("big:1", 0, 0, queued=True)
    await node.settle(20)
    node.hear("big:1", 30 * MIB, 500 * MIB)
    await node.settle(40)
    node.let_go("big:1")
    await pull

    assert node.events == [
        'Pulling: Pulling image "big:1"',
        'PullProgress: Pulling image "big:1": no answer from the registry yet',
        'PullProgress: Pulling image "big:1": waiting for other downloads to end',
        'PullProgress: Pulling image "big:1": downloaded 30.0 MiB of 500.0 MiB',
        'Pulled: Successfully pulled image "big:1" in 1m10s (1m10s including waiting). Image size: 0 bytes.',
    ]


async def test_a_pull_that_gets_nowhere_is_given_up_and_tried_again_later(node: Node) -> None:
    node.hang("stuck:1")
    pull = await node.start("stuck:1")
    await node.settle(50)
    node.hear("stuck:1", MIB, 2 * MIB)
    await node.settle(59)
    assert not pull.done()
    await node.settle(1)

    with pytest.raises(RuntimeFailure, match="cannot pull stuck:1: no progress for 1m0s") as caught:
        await pull
    assert caught.value.reason == "ErrImagePull"
    assert node.runtime.cancelled_pulls == ["stuck:1"]
    assert node.puller.backoff_seconds_left("stuck:1", "u") == 10


async def test_a_pull_that_waits_for_others_of_the_engine_is_not_stuck(node: Node) -> None:
    node.hang("queued:1")
    pull = await node.start("queued:1")
    node.hear("queued:1", 0, 0, queued=True)
    await node.settle(300)
    node.let_go("queued:1")

    assert (await pull).tags == ("queued:1",)


async def test_without_a_deadline_a_pull_may_take_for_ever(tmp_path: Path) -> None:
    node = Node(tmp_path, progress_seconds_max=0)
    node.hang("slow:1")
    pull = await node.start("slow:1")
    await node.settle(10_000)
    node.let_go("slow:1")

    assert (await pull).tags == ("slow:1",)


async def test_pulls_take_turns_when_only_so_many_are_allowed(tmp_path: Path) -> None:
    node = Node(tmp_path, parallel_max=1)
    node.hang("a:1")
    node.hang("b:1")
    first = await node.start("a:1")
    second = await node.start("b:1")
    assert node.pulls() == 1
    await node.settle(10)
    assert node.events[-1] == 'PullProgress: Pulling image "b:1": waiting for other pulls to end'

    node.let_go("a:1")
    await first
    await node.settle(5)
    node.let_go("b:1")
    await second

    assert node.events[-1].startswith('Pulled: Successfully pulled image "b:1" in 5s (15s including waiting).')


async def test_a_pull_that_nobody_wants_any_more_ends(node: Node) -> None:
    node.hang("a:1")
    pulls = [await node.start("a:1", "one"), await node.start("a:1", "other")]
    pulls[0].cancel()
    await node.settle()
    await node.settle(LINGER_SECONDS)
    assert node.runtime.cancelled_pulls == []

    pulls[1].cancel()
    await node.settle()
    await node.settle(LINGER_SECONDS - 1)
    assert node.runtime.cancelled_pulls == []
    await node.settle(1)

    assert node.runtime.cancelled_pulls == ["a:1"]


async def test_whoever_comes_in_time_takes_the_pull_over_and_who_comes_too_late_begins_anew(node: Node) -> None:
    node.hang("a:1")
    (await node.start("a:1", "deleted")).cancel()
    await node.settle(5)
    heir = await node.start("a:1", "heir")
    await node.settle(LINGER_SECONDS)
    assert node.pulls() == 1

    heir.cancel()
    await node.settle()
    await node.clock.advance(LINGER_SECONDS)
    late = await node.start("a:1", "late")
    node.let_go("a:1")

    assert (await late).tags == ("a:1",)
    assert node.pulls() == 2


async def test_pulls_end_with_the_agent(node: Node) -> None:
    node.hang("a:1")
    pull = await node.start("a:1")

    await node.puller.close()

    assert node.runtime.cancelled_pulls == ["a:1"]
    assert (await asyncio.gather(pull, return_exceptions=True))[0].__class__ is asyncio.CancelledError
