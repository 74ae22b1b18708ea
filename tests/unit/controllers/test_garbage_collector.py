"""The owner graph and what follows from it."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from control.api.builtin_kinds import CONFIG_MAPS, PODS, REPLICA_SETS
from control.api.clock import FakeClock
from control.api.exchange import User
from control.api.kinds import Kind
from control.api.objects import Object
from control.client.client import Client
from control.client.local_transport import LocalTransport
from control.client.writes import Delete, Patch
from control.controllers.context import ControllerOptions, local_context, run_controllers
from control.controllers.garbage_collector.collector import GarbageCollector
from control.controllers.garbage_collector.decide import (
    OwnerState,
    decide_by_owners,
    decide_deleting_dependents,
    decide_orphaning,
)
from control.controllers.garbage_collector.graph import Graph, Node
from tests.fakes.memory_endpoint import MemoryEndpoint
from tests.unit.controllers.builders import make_object, own

GOING = "2026-01-01T00:00:00Z"


def make_node(name: str, *owners: Object, finalizers: tuple[str, ...] = (), going: bool = False) -> Node:
    metadata: Object = {"ownerReferences": list(owners), "finalizers": list(finalizers)}
    if going:
        metadata["deletionTimestamp"] = GOING
    return Node(CONFIG_MAPS, make_object("v1", "ConfigMap", name, metadata=metadata)["metadata"])


def owner(uid: str, *, block: bool = False) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": uid, "uid": uid, "blockOwnerDeletion": block}


def test_object_goes_with_its_last_owner_if_it_is_as_it_was_judged() -> None:
    node = make_node("a", owner("x"), owner("y"))
    states = {"x": OwnerState.ABSENT, "y": OwnerState.ABSENT}
    (delete,) = decide_by_owners(node, states, []).writes
    assert isinstance(delete, Delete)
    assert (delete.uid, delete.resource_version) == (node.uid, node.metadata["resourceVersion"])
    assert delete.propagation == "Background"


def test_object_with_an_owner_left_loses_only_the_reference() -> None:
    node = make_node("a", owner("x"), owner("y"), owner("z"))
    states = {"x": OwnerState.ABSENT, "y": OwnerState.SOLID, "z": OwnerState.WAITING}
    (patch,) = decide_by_owners(node, states, []).writes
    assert isinstance(patch, Patch)
    assert isinstance(patch.patch, dict)
    assert patch.patch["metadata"]["ownerReferences"] == [owner("y")]


def test_dependents_with_dependents_of_a_waiting_owner_go_in_the_foreground() -> None:
    node = make_node("a", owner("x", block=True))
    child = make_node("b", owner(node.uid, block=True))
    (delete,) = decide_by_owners(node, {"x": OwnerState.WAITING}, [child]).writes
    assert isinstance(delete, Delete)
    assert delete.propagation == "Foreground"
    (delete,) = decide_by_owners(node, {"x": OwnerState.WAITING}, []).writes
    assert isinstance(delete, Delete)
    assert delete.propagation == "Background"


def test_two_that_wait_for_each_other_are_untied() -> None:
    node = make_node("a", owner("x", block=True))
    child = make_node("b", owner(node.uid, block=True), finalizers=("foregroundDeletion",), going=True)
    patch, delete = decide_by_owners(node, {"x": OwnerState.WAITING}, [child]).writes
    assert isinstance(patch, Patch)
    assert isinstance(patch.patch, dict)
    assert patch.patch["metadata"]["ownerReferences"] == [owner("x")]
    assert isinstance(delete, Delete)


def test_foreground_deletion_waits_for_blocking_dependents_alone() -> None:
    node = make_node("a", finalizers=("foregroundDeletion", "other"), going=True)
    blocking = make_node("b", owner(node.uid, block=True))
    loose = make_node("c", owner(node.uid))
    waiting = decide_deleting_dependents(node, [blocking, loose])
    assert (list(waiting.writes), list(waiting.look_at)) == ([], [blocking.uid])
    (patch,) = decide_deleting_dependents(node, [loose]).writes
    assert isinstance(patch, Patch)
    assert isinstance(patch.patch, dict)
    assert patch.patch["metadata"]["finalizers"] == ["other"]


def test_orphaning_releases_dependents_before_the_owner_goes() -> None:
    node = make_node("a", finalizers=("orphan",), going=True)
    dependents = [make_node("b", owner(node.uid)), make_node("c", owner(node.uid), owner("x"))]
    patches = decide_orphaning(node, dependents).writes
    assert [patch.name for patch in patches if isinstance(patch, Patch)] == ["b", "c", "a"]


def test_graph_names_what_a_change_concerns() -> None:
    graph = Graph()
    parent = make_object("v1", "ConfigMap", "parent")
    child = make_object("v1", "ConfigMap", "child", metadata={"ownerReferences": [own(parent)]})
    assert graph.apply(CONFIG_MAPS, None, parent) == set()
    assert graph.apply(CONFIG_MAPS, None, child) == {child["metadata"]["uid"]}
    touched = {**child, "data": {"a": "b"}}
    assert graph.apply(CONFIG_MAPS, child, touched) == set()
    assert [node.uid for node in graph.dependents(parent["metadata"]["uid"])] == [child["metadata"]["uid"]]
    assert graph.apply(CONFIG_MAPS, parent, None) == {child["metadata"]["uid"]}
    assert graph.apply(CONFIG_MAPS, touched, None) == set()
    assert graph.dependents(parent["metadata"]["uid"]) == []


class Setting:
    def __init__(self) -> None:
        self.endpoint = MemoryEndpoint()
        self.clock = FakeClock()
        self.client = Client(LocalTransport(self.endpoint, User(name="tester")))

    async def create(self, kind: Kind, name: str, *owners: Object) -> Object:
        metadata: dict[str, Any] = {"name": name, "namespace": "default"}
        if owners:
            metadata["ownerReferences"] = [own(item) for item in owners]
        obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
        return await self.client.create(kind, obj)

    async def collect(self) -> list[str]:
        """Run the collector until nothing moves; the names that are left."""
        context = local_context(self.endpoint, clock=self.clock, random=Random(1), options=ControllerOptions())
        stop = asyncio.Event()
        task = asyncio.create_task(run_controllers(context, {"gc": GarbageCollector}, stop))
        for _ in range(20):
            for _ in range(200):
                await asyncio.sleep(0)
            await self.clock.advance(0.1)
        stop.set()
        await task
        return sorted(key[3] for key in self.endpoint.objects)


async def test_chain_of_dependents_is_collected_after_its_owner() -> None:
    setting = Setting()
    top = await setting.create(CONFIG_MAPS, "top")
    middle = await setting.create(REPLICA_SETS, "middle", top)
    await setting.create(PODS, "leaf", middle)
    await setting.create(PODS, "free")
    assert await setting.collect() == ["free", "leaf", "middle", "top"]
    await setting.client.delete(CONFIG_MAPS, "top", namespace="default")
    assert await setting.collect() == ["free"]


async def test_foreground_deletion_removes_the_owner_last() -> None:
    setting = Setting()
    top = await setting.create(CONFIG_MAPS, "top")
    await setting.create(PODS, "leaf", await setting.create(REPLICA_SETS, "middle", top))
    await setting.client.delete(CONFIG_MAPS, "top", namespace="default", propagation="Foreground")
    assert await setting.collect() == []
    deleted = [key[3] for _, event, key, _ in setting.endpoint.log if event == "DELETED"]
    assert deleted == ["leaf", "middle", "top"]


async def test_orphaned_dependents_stay_without_reference() -> None:
    setting = Setting()
    top = await setting.create(CONFIG_MAPS, "top")
    await setting.create(REPLICA_SETS, "middle", top)
    await setting.client.delete(CONFIG_MAPS, "top", namespace="default", propagation="Orphan")
    assert await setting.collect() == ["middle"]
    (left,) = setting.endpoint.objects.values()
    assert not left["metadata"].get("ownerReferences")


async def test_owner_of_same_name_but_other_uid_is_absent() -> None:
    setting = Setting()
    former = await setting.create(CONFIG_MAPS, "top")
    await setting.client.delete(CONFIG_MAPS, "top", namespace="default")
    await setting.create(CONFIG_MAPS, "top")
    await setting.create(PODS, "stray", former)
    assert await setting.collect() == ["top"]
