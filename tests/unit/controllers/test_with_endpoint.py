"""Controllers together, over the in-process transport and an endpoint without rules of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from control.api.builtin_kinds import DEPLOYMENTS, EVENTS, PODS, REPLICA_SETS
from control.api.clock import FakeClock
from control.api.exchange import User
from control.api.kinds import Kind
from control.api.objects import Object, copy_object
from control.client.client import Client
from control.client.local_transport import LocalTransport
from control.controllers import CONTROLLERS
from control.controllers.context import ControllerOptions, local_context, run_controllers
from tests.fakes.memory_endpoint import MemoryEndpoint


class Cluster:
    def __init__(self) -> None:
        self.endpoint = MemoryEndpoint()
        self.clock = FakeClock()
        self.endpoint.now = self.clock.now
        self.client = Client(LocalTransport(self.endpoint, User(name="tester")))

    def objects(self, kind: Kind) -> list[Object]:
        return [obj for key, obj in self.endpoint.objects.items() if key[:2] == (kind.group, kind.plural)]

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        for _ in range(4000):
            if condition():
                return
            await asyncio.sleep(0)
            if _ % 100 == 99:
                await self.clock.advance(0.1)
        raise AssertionError(f"not reached: {what}")

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[None]:
        context = local_context(self.endpoint, clock=self.clock, random=Random(1), options=ControllerOptions())
        stop = asyncio.Event()
        factories = {name: CONTROLLERS[name] for name in names}
        task = asyncio.create_task(run_controllers(context, factories, stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def set_ready(self, pod: Object) -> None:
        pod = copy_object(pod)
        pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        await self.client.update_status(PODS, pod)


def make_deployment(replicas: int = 3, image: str = "one") -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
        },
    }


async def test_deployment_becomes_pods_and_rolls_over() -> None:
    cluster = Cluster()
    deployment = await cluster.client.create(DEPLOYMENTS, make_deployment())

    def stored() -> Object:
        return cluster.endpoint.objects[("apps", "deployments", "default", "web")]

    async def all_ready() -> None:
        for _ in range(20):
            for pod in cluster.objects(PODS):
                if "status" not in pod:
                    await cluster.set_ready(pod)
            for _ in range(50):
                await asyncio.sleep(0)

    async with cluster.running("deployment", "replicaset"):
        await cluster.until(lambda: len(cluster.objects(PODS)) == 3, "three Pods")
        await all_ready()
        await cluster.until(lambda: stored().get("status", {}).get("availableReplicas") == 3, "available")
        assert stored()["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
        await cluster.client.patch(
            DEPLOYMENTS, "web", {"spec": make_deployment(image="two")["spec"]}, namespace="default"
        )
        for _ in range(10):
            await all_ready()
        await cluster.until(lambda: stored()["status"].get("updatedReplicas") == 3, "updated")
        await cluster.until(lambda: len(cluster.objects(PODS)) == 3, "old Pods gone")
        assert {pod["spec"]["containers"][0]["image"] for pod in cluster.objects(PODS)} == {"two"}
        assert sorted(item["spec"]["replicas"] for item in cluster.objects(REPLICA_SETS)) == [0, 3]
        messages = [event["message"] for event in cluster.objects(EVENTS)]
        first, second = (item["metadata"]["name"] for item in cluster.objects(REPLICA_SETS))
        assert f"Scaled up replica set {first} from 0 to 3" in messages
        assert f"Scaled down replica set {first} from 1 to 0" in messages
        assert f"Scaled up replica set {second} from 2 to 3" in messages
    assert deployment["metadata"]["name"] == "web"
