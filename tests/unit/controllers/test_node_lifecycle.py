"""Silent nodes, their taints, and the Pods that have to leave them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from control.api.builtin_kinds import EVENTS, LEASES, NODES, PODS
from control.api.clock import FakeClock
from control.api.exchange import User
from control.api.kinds import Kind
from control.api.objects import Object, copy_object
from control.client.client import Client
from control.client.local_transport import LocalTransport
from control.client.view import View
from control.client.writes import Delete, Notice, Patch
from control.controllers import CONTROLLERS
from control.controllers.context import ControllerOptions, local_context, run_controllers
from control.controllers.node_lifecycle.node_taints import compute_taints
from control.controllers.node_lifecycle.taint_eviction import TaintEviction, tolerated_seconds
from tests.fakes.memory_endpoint import MemoryEndpoint
from tests.unit.controllers.builders import NOW, make_object, make_pod


def make_node(node_name: str, ready: str = "True", *taints: Object, **conditions: str) -> Object:
    states = {"Ready": ready, **conditions}
    items = [{"type": name, "status": status} for name, status in states.items() if status]
    return make_object("v1", "Node", node_name, None, spec={"taints": list(taints)}, status={"conditions": items})


def taint(key: str, effect: str) -> Object:
    return {"key": f"node.kubernetes.io/{key}", "effect": effect}


@pytest.mark.parametrize(
    ("node", "may_evict", "expected"),
    [
        pytest.param(make_node("n"), True, None, id="a ready node has none"),
        pytest.param(make_node("n", "True", taint("not-ready", "NoSchedule")), True, [], id="ready takes it away"),
        pytest.param(
            make_node("n", "Unknown"),
            True,
            ["unreachable:NoSchedule", "unreachable:NoExecute"],
            id="an unreachable node evicts",
        ),
        pytest.param(make_node("n", "Unknown"), False, ["unreachable:NoSchedule"], id="not when all nodes are down"),
        pytest.param(
            make_node("n", "Unknown", taint("not-ready", "NoSchedule"), taint("not-ready", "NoExecute")),
            True,
            ["unreachable:NoSchedule", "unreachable:NoExecute"],
            id="not-ready becomes unreachable",
        ),
        pytest.param(
            make_node("n", "True", {"key": "mine", "effect": "NoExecute"}, MemoryPressure="True"),
            True,
            ["mine:NoExecute", "memory-pressure:NoSchedule"],
            id="pressure keeps new Pods away and taints of others stay",
        ),
    ],
)
def test_taints_of_a_node(node: Object, may_evict: bool, expected: list[str] | None) -> None:
    taints = compute_taints(node, may_evict=may_evict, now=NOW)
    shown = None if taints is None else [f"{item['key'].rpartition('/')[2]}:{item['effect']}" for item in taints]
    assert shown == expected


def tolerate(key: str, seconds: int | None = None) -> Object:
    toleration: Object = {"key": key, "operator": "Exists", "effect": "NoExecute"}
    return toleration if seconds is None else {**toleration, "tolerationSeconds": seconds}


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        pytest.param([], 0, id="nothing tolerated"),
        pytest.param([tolerate("a")], 0, id="one of two tolerated"),
        pytest.param([tolerate("a"), tolerate("b")], None, id="both for ever"),
        pytest.param([tolerate("a", 30), tolerate("b", 10)], 10, id="the shortest counts"),
        pytest.param([tolerate("a"), tolerate("b", -5)], 0, id="less than nothing is nothing"),
    ],
)
def test_tolerated_time(tolerations: list[Object], expected: float | None) -> None:
    taints = [{"key": "a", "effect": "NoExecute"}, {"key": "b", "effect": "NoExecute"}]
    assert tolerated_seconds(make_pod("p", spec={"tolerations": tolerations}), taints) == expected


class Cluster:
    """Two nodes with leases, a Pod on each that tolerates two seconds, and the node controllers."""

    def __init__(self) -> None:
        self.endpoint = MemoryEndpoint()
        self.clock = FakeClock()
        self.client = Client(LocalTransport(self.endpoint, User(name="tester")))
        self.alive = {"one", "two"}

    async def create(self) -> None:
        for name in ("one", "two"):
            await self.client.create(NODES, make_node(name))
            lease = make_object("coordination.k8s.io/v1", "Lease", name, "kube-node-lease", spec={"renewTime": "0"})
            await self.client.create(LEASES, lease)
            tolerations = [tolerate("node.kubernetes.io/unreachable", 2), tolerate("node.kubernetes.io/not-ready", 2)]
            pod = make_pod(f"pod-{name}", ready=True, node=name, spec={"tolerations": tolerations})
            await self.client.create(PODS, pod)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        context = local_context(self.endpoint, clock=self.clock, random=Random(1), options=ControllerOptions())
        stop = asyncio.Event()
        chosen = {name: CONTROLLERS[name] for name in ("nodelifecycle", "taint-eviction", "podgc")}
        task = asyncio.create_task(run_controllers(context, chosen, stop))
        await self.settle()
        try:
            yield
        finally:
            stop.set()
            await task

    async def settle(self) -> None:
        for _ in range(150):
            await asyncio.sleep(0)

    async def wait(self, seconds: int) -> None:
        """Let time pass; living nodes renew their leases."""
        for _ in range(seconds):
            for name in self.alive:
                await self.client.patch(
                    LEASES, name, {"spec": {"renewTime": str(self.clock.monotonic())}}, namespace="kube-node-lease"
                )
            await self.clock.advance(1)
            await self.settle()

    def find(self, kind: Kind, name: str, namespace: str = "") -> Any:
        return self.endpoint.objects.get((kind.group, kind.plural, namespace, name))

    def ready(self, name: str) -> str:
        conditions = self.find(NODES, name)["status"]["conditions"]
        return str(next(item["status"] for item in conditions if item["type"] == "Ready"))

    def reasons(self) -> set[str]:
        return {obj["reason"] for key, obj in self.endpoint.objects.items() if key[1] == EVENTS.plural}


async def test_silent_node_loses_its_pods_and_the_other_keeps_its_own() -> None:
    cluster = Cluster()
    await cluster.create()
    async with cluster.running():
        await cluster.wait(3)
        cluster.alive.discard("one")
        await cluster.wait(6)
        assert cluster.ready("one") == "True"
        await cluster.wait(5)
        assert (cluster.ready("one"), cluster.ready("two")) == ("Unknown", "True")
        assert cluster.find(PODS, "pod-one", "default") is None
        assert cluster.find(PODS, "pod-two", "default") is not None
    assert {"RegisteredNode", "NodeNotReady", "TaintManagerEviction"} <= cluster.reasons()


async def test_node_that_returns_in_time_keeps_its_pods() -> None:
    cluster = Cluster()
    await cluster.create()
    async with cluster.running():
        cluster.alive.discard("one")
        await cluster.wait(7)
        assert cluster.ready("one") == "Unknown"
        cluster.alive.add("one")
        node = copy_object(cluster.find(NODES, "one"))
        node["status"]["conditions"] = [{"type": "Ready", "status": "True", "lastHeartbeatTime": "now"}]
        await cluster.client.update_status(NODES, node)
        await cluster.wait(20)
        assert cluster.find(NODES, "one")["spec"].get("taints") in (None, [])
        assert cluster.find(PODS, "pod-one", "default") is not None


async def test_nothing_is_evicted_while_all_nodes_are_silent() -> None:
    cluster = Cluster()
    await cluster.create()
    async with cluster.running():
        cluster.alive.clear()
        await cluster.wait(40)
        assert (cluster.ready("one"), cluster.ready("two")) == ("Unknown", "Unknown")
        assert cluster.find(PODS, "pod-one", "default") is not None
        assert cluster.find(PODS, "pod-two", "default") is not None


async def test_jump_of_the_clock_evicts_nothing() -> None:
    cluster = Cluster()
    await cluster.create()
    async with cluster.running():
        await cluster.wait(3)
        await cluster.clock.advance(3600)
        await cluster.settle()
        await cluster.wait(20)
        assert (cluster.ready("one"), cluster.ready("two")) == ("True", "True")
        assert cluster.find(PODS, "pod-one", "default") is not None


async def test_pods_of_a_removed_node_are_collected_after_a_while() -> None:
    cluster = Cluster()
    await cluster.create()
    async with cluster.running():
        await cluster.client.delete(NODES, "one")
        await cluster.wait(4)
        assert cluster.find(PODS, "pod-one", "default") is not None
        await cluster.wait(3)
        assert cluster.find(PODS, "pod-one", "default") is None
        assert cluster.find(PODS, "pod-two", "default") is not None


class TickingClock(FakeClock):
    """A clock that, as real ones, never shows the same time twice."""

    def __init__(self) -> None:
        super().__init__()
        self._ticks = 0

    def monotonic(self) -> float:
        self._ticks += 1
        return super().monotonic() + self._ticks * 1e-6


async def test_untolerated_taint_evicts_in_the_first_turn_and_says_so() -> None:
    node = make_node("n", "True", {"key": "k", "effect": "NoExecute"})
    view = View.of({NODES: [node], PODS: [make_pod("p", node="n")]})
    notice, patch, delete = TaintEviction(TickingClock()).reconcile("default/p", view, NOW).steps
    assert isinstance(notice, Notice)
    assert (notice.reason, notice.message) == ("TaintManagerEviction", "Marking for deletion Pod default/p")
    assert isinstance(patch, Patch)
    assert isinstance(delete, Delete)
