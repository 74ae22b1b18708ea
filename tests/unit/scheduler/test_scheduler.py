from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from control.api.builtin_kinds import NODES, POD_DISRUPTION_BUDGETS, PODS
from control.api.clock import FakeClock
from control.api.errors import conflict
from control.api.exchange import ApiRequest, ApiResponse, User
from control.api.objects import Object, copy_object
from control.client.client import Client
from control.client.local_transport import LocalTransport
from control.scheduler.scheduler import Scheduler
from tests.fakes.memory_endpoint import MemoryEndpoint
from tests.unit.scheduler.builders import make_node, make_pod


class BindingEndpoint(MemoryEndpoint):
    """An endpoint that also binds Pods."""

    def _answer(self, request: ApiRequest) -> ApiResponse:
        parts = request.path.split("/")
        if request.method != "POST" or parts[-1] != "binding":
            return super()._answer(request)
        key = ("", "pods", parts[4], parts[6])
        pod = copy_object(self.objects[key])
        assert isinstance(request.body, dict)
        if pod["spec"].get("nodeName"):
            raise conflict("", "pods", parts[6], f"pod {parts[6]} is already assigned to node")
        pod["spec"]["nodeName"] = request.body["target"]["name"]
        self._commit("MODIFIED", key, pod)
        return ApiResponse(status=201, object={"kind": "Status", "apiVersion": "v1", "status": "Success"})


class Setting:
    def __init__(self) -> None:
        self.endpoint = BindingEndpoint()
        self.client = Client(LocalTransport(self.endpoint, User(name="system:kube-scheduler")))
        self.clock = FakeClock()
        self.scheduler = Scheduler(self.client, clock=self.clock, random=Random(1), host_name="host")

    async def settle(self) -> None:
        for _ in range(200):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.settle()

    async def add_node(self, name: str = "n1", **fields: Any) -> None:
        await self.client.create(NODES, make_node(name, **fields))
        await self.settle()

    async def add_pod(self, name: str = "p", **fields: Any) -> None:
        await self.client.create(PODS, make_pod(name, **fields))
        await self.settle()

    def pod(self, name: str = "p") -> Object:
        return self.endpoint.objects[("", "pods", "d", name)]

    def node_of(self, name: str = "p") -> str | None:
        node_name: str | None = self.pod(name)["spec"].get("nodeName")
        return node_name

    def events(self, reason: str) -> list[Object]:
        return [
            obj for key, obj in sorted(self.endpoint.objects.items()) if key[1] == "events" and obj["reason"] == reason
        ]


@asynccontextmanager
async def running() -> AsyncIterator[Setting]:
    setting = Setting()
    stop = asyncio.Event()
    task = asyncio.create_task(setting.scheduler.run(stop))
    await setting.settle()
    try:
        yield setting
    finally:
        stop.set()
        await task


async def test_a_pod_is_bound_and_an_event_says_so() -> None:
    async with running() as setting:
        await setting.add_node()
        await setting.add_pod()
        assert setting.node_of() == "n1"
        (event,) = setting.events("Scheduled")
        assert event["message"] == "Successfully assigned d/p to n1"
        assert (event["type"], event["action"], event["source"]) == ("Normal", "Binding", {})
        assert (event["reportingComponent"], event["reportingInstance"]) == (
            "default-scheduler",
            "default-scheduler-host",
        )
        assert event["eventTime"] == "2026-01-01T00:00:00.000000Z"
        assert event["involvedObject"]["uid"] == "uid-p"


async def test_without_nodes_a_pod_waits_and_is_bound_when_one_comes() -> None:
    async with running() as setting:
        await setting.add_pod()
        (condition,) = setting.pod()["status"]["conditions"]
        assert condition == {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "no nodes available to schedule pods",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": 1,
        }
        assert setting.events("FailedScheduling")[0]["type"] == "Warning"
        await setting.add_node()
        assert setting.node_of() == "n1"


async def test_room_that_appears_is_used() -> None:
    async with running() as setting:
        await setting.add_node()
        await setting.add_pod("first", cpu="3")
        await setting.add_pod("second", cpu="3")
        assert (setting.node_of("first"), setting.node_of("second")) == ("n1", None)
        assert "Insufficient cpu" in setting.events("FailedScheduling")[0]["message"]
        await setting.client.delete(PODS, "first", namespace="d")
        await setting.settle()
        assert setting.node_of("second") == "n1"


async def test_a_pod_that_ended_gives_its_room_back() -> None:
    async with running() as setting:
        await setting.add_node()
        await setting.add_pod("first", cpu="3")
        await setting.add_pod("second", cpu="3")
        await setting.client.patch(PODS, "first", {"status": {"phase": "Succeeded"}}, namespace="d")
        await setting.settle()
        assert setting.node_of("second") == "n1"


async def test_bindings_under_way_take_their_room_at_once() -> None:
    async with running() as setting:
        await setting.add_node("a", cpu="2")
        await setting.add_node("b", cpu="2")
        for name in ("x", "y", "z"):
            await setting.client.create(PODS, make_pod(name, cpu="2"))
        await setting.settle()
        placed = [setting.node_of(name) for name in ("x", "y", "z")]
        assert sorted(filter(None, placed)) == ["a", "b"]
        assert placed.count(None) == 1


async def test_a_failed_binding_is_tried_again_after_its_back_off() -> None:
    async with running() as setting:
        await setting.add_node()
        setting.endpoint.fail_next(conflict("", "pods", "p", "try later"), path_part="/binding")
        await setting.add_pod(cpu="4")
        assert setting.node_of() is None
        node = setting.scheduler.snapshot.find("n1")
        assert node is not None
        assert node.cpu_used == 0
        await setting.advance(1)
        assert setting.node_of() == "n1"


async def test_foreign_bound_and_gated_pods_are_left_alone() -> None:
    async with running() as setting:
        await setting.add_node()
        await setting.add_pod("foreign", schedulerName="other")
        await setting.add_pod("gated", schedulingGates=[{"name": "a.com/g"}])
        assert (setting.node_of("foreign"), setting.node_of("gated")) == (None, None)
        assert setting.events("FailedScheduling") == []
        await setting.client.patch(PODS, "gated", {"spec": {"schedulingGates": None}}, namespace="d")
        await setting.settle()
        assert setting.node_of("gated") == "n1"


async def test_pods_bound_by_others_count() -> None:
    async with running() as setting:
        await setting.add_node()
        await setting.add_pod("theirs", cpu="3", nodeName="n1", schedulerName="other")
        await setting.add_pod(cpu="2")
        assert setting.node_of() is None


async def test_a_repeated_failure_becomes_a_series() -> None:
    async with running() as setting:
        await setting.add_node()
        await setting.add_pod(cpu="9")
        for seconds in (2, 2, 4):
            await setting.client.patch(NODES, "n1", {"metadata": {"labels": {"n": str(setting.clock.monotonic())}}})
            await setting.advance(seconds)
        (event,) = setting.events("FailedScheduling")
        assert event["series"]["count"] >= 2


async def test_preemption_marks_deletes_and_nominates() -> None:
    async with running() as setting:
        await setting.add_node(cpu="1")
        await setting.add_pod("low", cpu="800m")
        await setting.client.patch(PODS, "low", {"metadata": {"finalizers": ["test/hold"]}}, namespace="d")
        await setting.add_pod("hi", cpu="800m", priority=1000)
        low, high = setting.pod("low"), setting.pod("hi")
        assert low["metadata"]["deletionTimestamp"]
        condition = low["status"]["conditions"][-1]
        assert (condition["type"], condition["reason"]) == ("DisruptionTarget", "PreemptionByScheduler")
        assert condition["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
        assert high["status"]["nominatedNodeName"] == "n1"
        assert high["status"]["conditions"][0]["message"] == "0/1 nodes are available: 1 Insufficient cpu."
        (event,) = setting.events("Preempted")
        assert event["message"] == "Preempted by pod uid-hi on node n1"
        await setting.client.patch(PODS, "low", {"metadata": {"finalizers": None}}, namespace="d")
        await setting.settle()
        assert setting.node_of("hi") == "n1"


async def test_preemption_keeps_disruption_budgets_where_it_can() -> None:
    budget: Object = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "budget", "namespace": "d", "uid": "uid-budget"},
        "spec": {"selector": {"matchLabels": {"app": "db"}}},
        "status": {"disruptionsAllowed": 0},
    }
    async with running() as setting:
        await setting.client.create(POD_DISRUPTION_BUDGETS, budget)
        await setting.add_node(cpu="2")
        database = make_pod("db", cpu="1")
        database["metadata"]["labels"] = {"app": "db"}
        await setting.client.create(PODS, database)
        await setting.add_pod("web", cpu="1", priority=1)
        await setting.add_pod("hi", cpu="1", priority=1000)
        assert (setting.node_of("db"), setting.node_of("hi")) == ("n1", "n1")
        assert ("", "pods", "d", "web") not in setting.endpoint.objects


async def test_a_cordoned_node_takes_pods_again_when_it_is_opened() -> None:
    async with running() as setting:
        await setting.add_node(unschedulable=True)
        await setting.add_pod()
        assert setting.node_of() is None
        await setting.client.patch(NODES, "n1", {"spec": {"unschedulable": None}})
        await setting.settle()
        assert setting.node_of() == "n1"


async def test_status_reports_of_other_pods_do_not_retry_but_a_resize_does() -> None:
    async with running() as setting:
        await setting.add_node()
        await setting.add_pod("big", cpu="3")
        await setting.add_pod("waiting", cpu="2")
        queued = setting.scheduler.queue.find("uid-waiting")
        assert queued is not None
        await setting.client.patch(PODS, "big", {"status": {"phase": "Running"}}, namespace="d")
        await setting.settle()
        assert queued.attempts == 1
        smaller = make_pod("big", cpu="1")["spec"]["containers"]
        await setting.client.patch(PODS, "big", {"spec": {"containers": smaller}}, namespace="d")
        await setting.settle()
        assert setting.node_of("waiting") == "n1"


async def test_a_pod_nobody_foresaw_does_not_stop_the_others() -> None:
    async with running() as setting:
        await setting.add_node()
        await setting.add_pod("odd", topologySpreadConstraints=[{"maxSkew": "x", "topologyKey": "zone"}])
        await setting.add_pod("plain")
        assert (setting.node_of("odd"), setting.node_of("plain")) == (None, "n1")


async def test_a_binding_that_breaks_gives_its_place_back() -> None:
    async with running() as setting:
        await setting.add_node()
        setting.endpoint.fail_next(RuntimeError("bug"), path_part="/binding")
        await setting.add_pod(cpu="4")
        assert setting.node_of() is None
        await setting.advance(1)
        assert setting.node_of() == "n1"
