"""Collecting images on the fake engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.images.credential_records import Verification
from agent.images.garbage_plan import DiskState
from agent.images.image_garbage import COLLECT_SECONDS, ImageGarbage, ImageGarbageError
from agent.images.pull_records import PullRecords
from agent.images.pulled_images import PulledImages
from agent.images.settings import GarbagePolicy
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.images import ImagePuller
from agent.runtime.protocol import RuntimeFailure
from control.api.clock import FakeClock

GIB = 1 << 30


class Node:
    """An engine whose disk has 100 GiB, and how full it is."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.runtime = FakeRuntime(self.clock)
        self.pulled = PulledImages(directory)
        self.records = PullRecords(directory, Verification())
        self.puller = ImagePuller(
            runtime=self.runtime, pulled=self.pulled, credential_records=self.records, clock=self.clock
        )
        self.events: list[tuple[str, str, str]] = []
        self.others_bytes = 0
        self.capacity_bytes = 100 * GIB
        self.mounted: set[str] = set()

    def garbage(self, **policy: float) -> ImageGarbage:
        return ImageGarbage(
            runtime=self.runtime,
            pulled=self.pulled,
            pull_records=self.records,
            policy=GarbagePolicy(**policy),  # type: ignore[arg-type]
            disk=self.disk,
            is_mounted=lambda layers: bool(self.mounted & set(layers)),
            pause_image="pause:1",
            record=lambda *event: self.events.append(event),
            clock=self.clock,
        )

    def disk(self) -> DiskState:
        images = sum(image.size_bytes for image in self.runtime._images.values())
        return DiskState(
            capacity_bytes=self.capacity_bytes, available_bytes=self.capacity_bytes - self.others_bytes - images
        )

    async def pull(self, *names: str, size_bytes: int = 5 * GIB) -> None:
        for name in names:
            self.runtime.add_registry_image(name, size_bytes=size_bytes)
            await self.puller.ensure_image(name, policy="IfNotPresent", pod_uid="u")
            await self.clock.advance(1)

    async def names(self) -> list[str]:
        return sorted(tag for image in await self.runtime.list_images() for tag in image.tags)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def test_a_disk_that_fills_up_is_emptied_to_the_low_threshold_oldest_first(node: Node) -> None:
    garbage = node.garbage()
    await garbage.step()
    await node.pull("a:1", "b:1", "c:1", "d:1")
    node.others_bytes = 64 * GIB
    await garbage.step()
    await node.clock.advance(200)
    assert await node.names() == ["a:1", "b:1", "c:1", "d:1"]

    node.others_bytes = 67 * GIB
    await garbage.step()

    assert await node.names() == ["c:1", "d:1"]
    assert node.events == []


async def test_what_any_container_uses_stays_and_its_use_counts(node: Node) -> None:
    garbage = node.garbage()
    await node.pull("used:1", "idle:1", "stopped:1")
    used = await node.runtime.create_container("somebodys", {"Image": "used:1"})
    await node.runtime.create_container("stopped", {"Image": "stopped:1"})
    await garbage.step()
    node.others_bytes = 80 * GIB

    with pytest.raises(ImageGarbageError):
        await garbage.step()
    assert await node.names() == ["stopped:1", "used:1"]

    await node.runtime.remove_container(used)
    await node.clock.advance(10)
    await garbage.collect_now(1)
    assert await node.names() == ["stopped:1"]


async def test_images_of_others_the_pause_image_and_image_volumes_stay(node: Node) -> None:
    node.runtime.add_image("built:1", size_bytes=5 * GIB)
    await node.pull("pause:1", "mounted:1")
    mounted = await node.runtime.find_image("mounted:1")
    assert mounted is not None
    node.runtime._images["mounted:1"] = type(mounted)(id=mounted.id, tags=mounted.tags, layers=("/layers/top",))
    node.mounted.add("/layers/top")
    garbage = node.garbage()

    assert await garbage.collect_now(100 * GIB) == 0
    assert await node.names() == ["built:1", "mounted:1", "pause:1"]

    node.mounted.clear()
    assert await node.garbage(all_images=True).collect_now(100 * GIB) == 5 * GIB
    assert await node.names() == ["pause:1"]


async def test_collecting_now_stops_when_enough_is_free(node: Node) -> None:
    garbage = node.garbage()
    await node.pull("a:1", "b:1", "c:1")

    assert await garbage.collect_now(6 * GIB) == 10 * GIB
    assert await node.names() == ["c:1"]


async def test_young_images_are_spared(node: Node) -> None:
    garbage = node.garbage()
    await garbage.step()
    await node.pull("a:1")

    assert await garbage.collect_now(GIB) == 0
    await node.clock.advance(121)
    assert await garbage.collect_now(GIB) == 5 * GIB


async def test_old_images_go_whatever_the_disk(node: Node) -> None:
    garbage = node.garbage(maximum_age_seconds=3600)
    await node.pull("a:1")
    await garbage.step()
    await node.clock.advance(3000)
    await node.pull("b:1")
    await garbage.step()
    assert await node.names() == ["a:1", "b:1"]

    await node.clock.advance(1000)
    await garbage.step()

    assert await node.names() == ["b:1"]


async def test_an_image_that_cannot_be_removed_does_not_keep_the_next(node: Node) -> None:
    garbage = node.garbage()
    await node.pull("a:1", "b:1")
    node.runtime.inject_error("remove_image", RuntimeFailure("read-only file system"))

    with pytest.raises(ImageGarbageError) as caught:
        await garbage.collect_now(GIB)

    assert str(caught.value) == (
        f"wanted to free {GIB} bytes, but freed {5 * GIB} bytes space with errors in image deletion: "
        "read-only file system"
    )
    assert await node.names() == ["a:1"]


@asynccontextmanager
async def running(garbage: ImageGarbage) -> AsyncIterator[None]:
    task = asyncio.ensure_future(garbage.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn, and threads with it."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.to_thread(lambda: None)
    raise AssertionError("it did not happen")


async def test_a_disk_that_others_fill_is_reported_and_a_second_failure_in_a_row_too(node: Node) -> None:
    node.others_bytes = 90 * GIB
    async with running(node.garbage()):
        await until(lambda: len(node.events) == 1)
        assert node.events[0][:2] == ("Warning", "FreeDiskSpaceFailed")
        assert "(90% of 100.0 GiB used)" in node.events[0][2]
        await until(lambda: len(node.clock._sleepers) == 1)
        await node.clock.advance(COLLECT_SECONDS)
        await until(lambda: len(node.events) == 3)

    assert node.events[2] == ("Warning", "ImageGCFailed", node.events[1][2])


async def test_a_disk_without_a_size_is_reported(node: Node) -> None:
    node.capacity_bytes = 0

    with pytest.raises(ImageGarbageError):
        await node.garbage().step()

    assert node.events == [("Warning", "InvalidDiskCapacity", "invalid capacity 0 on image filesystem")]
