"""The informer keeps its store equal to the server's, whatever happens to the watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from control.api.clock import FakeClock
from control.api.errors import ApiError
from control.api.exchange import User
from control.api.kinds import Kind
from control.api.objects import Object
from control.client.client import Client
from control.client.informer import Informer, InformerFactory
from control.client.local_transport import LocalTransport
from control.client.store import BY_NAMESPACE
from tests.fakes.memory_endpoint import MemoryEndpoint

CONFIG_MAPS = Kind(group="", version="v1", kind="ConfigMap", plural="configmaps", singular="configmap", namespaced=True)


def make_config_map(name: str, namespace: str = "default", **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


class Setting:
    def __init__(self) -> None:
        self.endpoint = MemoryEndpoint()
        self.client = Client(LocalTransport(self.endpoint, User(name="tester")))
        self.clock = FakeClock()
        self.informer = Informer(self.client, CONFIG_MAPS, clock=self.clock, random=Random(1))
        self.events: list[tuple[str | None, str | None]] = []
        self.informer.add_handler(self.record)

    def record(self, old: Object | None, new: Object | None) -> None:
        self.events.append((old and old["data"].get("v"), new and new["data"].get("v")))

    async def settle(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)

    async def advance(self, seconds: int) -> None:
        for _ in range(seconds):
            await self.clock.advance(1)
            await self.settle()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.informer.run(stop))
        await self.settle()
        try:
            yield
        finally:
            stop.set()
            await task


async def test_handlers_see_old_and_new_of_every_change() -> None:
    setting = Setting()
    first = await setting.client.create(CONFIG_MAPS, make_config_map("a", v="1"))
    async with setting.running():
        assert setting.informer.has_synced
        await setting.client.update(CONFIG_MAPS, {**first, "data": {"v": "2"}})
        await setting.client.delete(CONFIG_MAPS, "a", namespace="default")
        await setting.settle()
    assert setting.events == [(None, "1"), ("1", "2"), ("2", None)]
    assert len(setting.informer.store) == 0
    assert setting.informer.revision == setting.endpoint.revision


async def test_listed_items_get_their_kind() -> None:
    setting = Setting()
    await setting.client.create(CONFIG_MAPS, make_config_map("a"))
    async with setting.running():
        found = setting.informer.store.find("default/a")
        assert found is not None
        assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")


async def test_broken_watch_resumes_after_backoff_without_loss() -> None:
    setting = Setting()
    async with setting.running():
        setting.endpoint.fail_next(ApiError(500, "InternalError", "down"), times=2, method="GET")
        setting.endpoint.break_watches()
        await setting.client.create(CONFIG_MAPS, make_config_map("a", v="1"))
        await setting.settle()
        assert setting.events == []
        await setting.advance(10)
        assert setting.events == [(None, "1")]
    lists = [request for request in setting.endpoint.requests if request.method == "GET" and not is_watch(request)]
    assert len(lists) == 1


def is_watch(request: object) -> bool:
    return any(name == "watch" for name, _ in request.query)  # type: ignore[attr-defined]


async def test_compacted_history_is_mended_by_a_new_list() -> None:
    setting = Setting()
    await setting.client.create(CONFIG_MAPS, make_config_map("gone", v="1"))
    kept = await setting.client.create(CONFIG_MAPS, make_config_map("kept", v="2"))
    async with setting.running():
        setting.endpoint.fail_next(ApiError(500, "InternalError", "down"), times=1, method="GET")
        setting.endpoint.break_watches()
        await setting.client.delete(CONFIG_MAPS, "gone", namespace="default")
        await setting.client.update(CONFIG_MAPS, {**kept, "data": {"v": "3"}})
        await setting.client.create(CONFIG_MAPS, make_config_map("new", v="4"))
        setting.endpoint.compact()
        await setting.advance(10)
        assert setting.informer.store.keys() == {"default/kept", "default/new"}
    assert setting.events[2:] == [("1", None), ("2", "3"), (None, "4")]


async def test_recreated_object_is_a_deletion_and_an_addition() -> None:
    setting = Setting()
    await setting.client.create(CONFIG_MAPS, make_config_map("a", v="1"))
    async with setting.running():
        setting.endpoint.fail_next(ApiError(410, "Expired", "too old"), times=1, method="GET")
        setting.endpoint.break_watches()
        await setting.client.delete(CONFIG_MAPS, "a", namespace="default")
        await setting.client.create(CONFIG_MAPS, make_config_map("a", v="2"))
        await setting.advance(10)
    assert setting.events == [(None, "1"), ("1", None), (None, "2")]


async def test_failing_handler_stops_nobody() -> None:
    setting = Setting()

    def fail(old: Object | None, new: Object | None) -> None:
        raise ValueError("bad object")

    setting.informer.add_handler(fail)
    after: list[str] = []
    setting.informer.add_handler(lambda old, new: after.append("seen"))
    async with setting.running():
        await setting.client.create(CONFIG_MAPS, make_config_map("a", v="1"))
        await setting.settle()
    assert after == ["seen"]


async def test_late_handler_first_sees_present_objects() -> None:
    setting = Setting()
    await setting.client.create(CONFIG_MAPS, make_config_map("a", v="1"))
    async with setting.running():
        late: list[Object | None] = []
        setting.informer.add_handler(lambda old, new: late.append(new))
        assert [item and item["metadata"]["name"] for item in late] == ["a"]


async def test_indexes_follow_changes() -> None:
    setting = Setting()
    setting.informer.store.add_index("v", lambda obj: [obj["data"]["v"]])
    async with setting.running():
        first = await setting.client.create(CONFIG_MAPS, make_config_map("a", v="1"))
        await setting.client.create(CONFIG_MAPS, make_config_map("b", namespace="other", v="1"))
        await setting.settle()
        store = setting.informer.store
        assert len(store.by_index("v", "1")) == 2
        assert [item["metadata"]["name"] for item in store.by_index(BY_NAMESPACE, "other")] == ["b"]
        await setting.client.update(CONFIG_MAPS, {**first, "data": {"v": "2"}})
        await setting.settle()
        assert [item["metadata"]["name"] for item in store.by_index("v", "1")] == ["b"]
        assert [item["metadata"]["name"] for item in store.by_index("v", "2")] == ["a"]


async def test_factory_shares_one_informer_per_kind_and_starts_late_ones() -> None:
    setting = Setting()
    factory = InformerFactory(setting.client, clock=setting.clock, random=Random(1))
    stop = asyncio.Event()
    task = asyncio.create_task(factory.run(stop))
    await setting.settle()
    informer = factory.informer(CONFIG_MAPS)
    assert factory.informer(CONFIG_MAPS) is informer
    await asyncio.wait_for(factory.wait_synced(), 5)
    stop.set()
    await task
