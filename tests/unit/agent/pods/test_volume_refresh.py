"""Volumes follow the API: all Pods in a sweep that reads each object once, changed Pods at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent.pods.read_once import ReadOnce
from agent.pods.volume_refresh import VolumeRefresh
from agent.volumes.protocol import ConfigurationSource, VolumeError
from control.api.clock import FakeClock
from control.api.objects import Object, ReadOnlyObject
from tests.fakes.objects import FakeObjects


def make_pod(name: str, **labels: str) -> Object:
    return {
        "metadata": {"name": name, "namespace": "d", "uid": f"uid-{name}", "labels": labels},
        "spec": {"volumes": [{"name": "v", "configMap": {"name": "c"}}]},
        "status": {"phase": "Running"},
    }


class Volumes:
    def __init__(self) -> None:
        self.refreshed: list[str] = []

    async def refresh(self, pod: ReadOnlyObject, objects: ConfigurationSource) -> None:
        await objects.get_config_map("d", "c")
        self.refreshed.append(pod["metadata"]["name"])
        if pod["metadata"]["name"] == "bad":
            raise VolumeError("no")


class Setting:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.pods = [make_pod("bad"), make_pod("good")]
        self.volumes: Any = Volumes()
        self.events: list[tuple[Any, ...]] = []
        self.refresh = VolumeRefresh(self.volumes, FakeObjects(), lambda: self.pods, self.clock, self.record)

    def record(self, pod: ReadOnlyObject, *event: str) -> None:
        self.events.append((pod["metadata"]["name"], *event))


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    made = Setting()
    running = asyncio.ensure_future(made.refresh.run())
    await asyncio.sleep(0)
    yield made
    running.cancel()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_every_pod_is_refreshed_in_turn_also_after_one_that_fails(setting: Setting) -> None:
    await setting.clock.advance(9)
    await settle()
    assert setting.volumes.refreshed == []
    await setting.clock.advance(1)
    await settle()
    assert setting.volumes.refreshed == ["bad", "good"]


async def test_what_cannot_be_refreshed_is_told_ever_more_rarely(setting: Setting) -> None:
    for _ in range(12):
        await setting.clock.advance(10)
        await settle()
    assert setting.volumes.refreshed.count("bad") == 12
    assert setting.events == [("bad", "Warning", "FailedMount", "no")] * 8
    setting.pods.remove(setting.pods[0])
    await setting.clock.advance(10)
    await settle()
    setting.pods.append(make_pod("bad"))
    await setting.clock.advance(10)
    await settle()
    assert len(setting.events) == 9, "nothing is remembered of a Pod that has gone"


async def test_a_pod_whose_labels_change_is_refreshed_at_once(setting: Setting) -> None:
    old, new = setting.pods[1], make_pod("good", a="b")
    setting.pods[1] = new
    setting.refresh.on_pod_change(old, {**old, "status": {}})
    await settle()
    assert setting.volumes.refreshed == []
    setting.refresh.on_pod_change(old, new)
    await settle()
    assert setting.volumes.refreshed == ["good"]
    await setting.clock.advance(10)
    await settle()
    assert setting.volumes.refreshed == ["good", "bad", "good"]


async def test_a_sweep_reads_each_object_once() -> None:
    class Counting(FakeObjects):
        reads = 0

        async def get_config_map(self, namespace: str, name: str) -> ReadOnlyObject | None:
            Counting.reads += 1
            return await super().get_config_map(namespace, name)

        async def get_secret(self, namespace: str, name: str) -> ReadOnlyObject | None:
            Counting.reads += 1
            return await super().get_secret(namespace, name)

    source = Counting()
    source.set_secret("s", {"a": b"1"})
    once = ReadOnce(source)
    for _ in range(3):
        assert await once.get_config_map("d", "missing") is None
        assert await once.get_secret("d", "s") == source.secrets["s"]
    assert Counting.reads == 2
