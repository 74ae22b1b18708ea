"""Following the engine's images."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.images.image_list import SETTLE_SECONDS, ImageList
from agent.runtime.events import REOPEN_SECONDS_FIRST
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.protocol import RuntimeFailure
from control.api.clock import FakeClock


class Node:
    """A list that follows a fake engine, and how often it said that something changed."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.runtime = FakeRuntime(self.clock)
        self.list = ImageList(runtime=self.runtime, clock=self.clock)
        self.changes = 0
        self.list.listeners.append(self._count)

    def _count(self) -> None:
        self.changes += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.ensure_future(self.list.run(stop))
        await self.settle()
        yield
        stop.set()
        await task

    async def settle(self, seconds: float = 0.0) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        await self.clock.advance(seconds)
        for _ in range(20):
            await asyncio.sleep(0)

    def tags(self) -> list[str]:
        return [tag for image in self.list.images for tag in image.tags]

    def listings(self) -> int:
        return self.runtime.verbs().count("list_images")


async def test_images_are_read_at_the_start_and_once_for_many_changes() -> None:
    node = Node()
    node.runtime.add_image("a:1")
    async with node.running():
        assert (node.tags(), node.changes) == (["a:1"], 1)
        node.runtime.add_image("b:1")
        node.runtime.add_image("c:1")
        await node.runtime.remove_image("a:1")
        await node.settle(SETTLE_SECONDS)
        assert (node.tags(), node.changes, node.listings()) == (["b:1", "c:1"], 2, 2)
        await node.settle(10_000)

    assert node.listings() == 2


async def test_images_are_read_again_when_the_engine_comes_back() -> None:
    node = Node()
    async with node.running():
        node.runtime.break_image_events()
        node.runtime._images.clear()
        await node.settle(REOPEN_SECONDS_FIRST)

        assert node.listings() == 2


async def test_a_list_that_fails_is_as_old_as_it_was() -> None:
    node = Node()
    node.runtime.add_image("a:1")
    async with node.running():
        node.runtime.inject_error("list_images", RuntimeFailure("broken"))
        node.runtime.add_image("b:1")
        await node.settle(SETTLE_SECONDS)
        assert node.tags() == ["a:1"]

        node.runtime.add_image("c:1")
        await node.settle(SETTLE_SECONDS)

    assert node.tags() == ["a:1", "b:1", "c:1"]
