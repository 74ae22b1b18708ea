"""Controllers on the real API server with a store in memory: in process, and over HTTPS as a process of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from control.api.builtin_kinds import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    NAMESPACES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from control.api.clock import SystemClock
from control.api.errors import ApiError
from control.api.kinds import Kind
from control.api.objects import Object
from control.client.client import Client
from control.client.http_transport import HttpTransport
from control.client.informer import InformerFactory
from control.client.local_transport import LocalTransport
from control.controllers import CONTROLLERS
from control.controllers.context import ControllerContext, ControllerOptions, local_context, run_controllers
from tests.fakes.api_server import ADMIN, RunningApiServer, running_api_server

OPTIONS = ControllerOptions(ca_pem="PEM")


class Cluster:
    def __init__(self, server: RunningApiServer) -> None:
        self.client = Client(LocalTransport(server.endpoint, ADMIN))

    async def items(self, kind: Kind, namespace: str = "default") -> list[Object]:
        items: list[Object] = (await self.client.list(kind, namespace=namespace))["items"]
        return items

    async def until(self, condition: Callable[[], Awaitable[Any]], what: str) -> Any:
        """Ask again and again until the answer is true. Controllers are asynchronous; nothing else tells."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if answer := await condition():
                return answer
            await asyncio.sleep(0.01)
        raise AssertionError(f"not reached: {what}")

    async def pods(self, count: int, namespace: str = "default") -> list[Object]:
        async def are_there() -> bool:
            return len(await self.items(PODS, namespace)) == count

        await self.until(are_there, f"{count} Pods")
        return await self.items(PODS, namespace)

    async def set_ready(self, pod: Object, ip: str = "") -> None:
        status: Object = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        if ip:
            status.update(podIP=ip, podIPs=[{"ip": ip}])
        metadata = pod["metadata"]
        await self.client.patch(
            PODS, metadata["name"], {"status": status}, namespace=metadata["namespace"], subresource="status"
        )


@asynccontextmanager
async def running(context: ControllerContext) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(run_controllers(context, CONTROLLERS, stop))
    try:
        yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def running_cluster() -> AsyncIterator[Cluster]:
    async with running_api_server(https=False) as server:
        context = local_context(server.endpoint, clock=SystemClock(), random=Random(1), options=OPTIONS)
        async with running(context):
            cluster = Cluster(server)
            await cluster.until(
                lambda: cluster.client.find(SERVICE_ACCOUNTS, "default", namespace="default"), "default account"
            )
            yield cluster


def make_deployment(replicas: int, image: str = "one", namespace: str = "default") -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "c", "image": image, "ports": [{"name": "http", "containerPort": 80}]}],
                },
            },
        },
    }


async def test_deployment_rolls_over_and_goes_with_everything_it_made() -> None:
    async with running_cluster() as cluster:
        await cluster.client.create(DEPLOYMENTS, make_deployment(2))
        for pod in await cluster.pods(2):
            await cluster.set_ready(pod)

        async def condition(reason: str, image: str) -> bool:
            for pod in await cluster.items(PODS):
                if not pod["status"].get("conditions"):
                    await cluster.set_ready(pod)
            status = (await cluster.client.get(DEPLOYMENTS, "web", namespace="default"))["status"]
            images = {pod["spec"]["containers"][0]["image"] for pod in await cluster.items(PODS)}
            return images == {image} and reason in {item["reason"] for item in status["conditions"]}

        await cluster.until(lambda: condition("NewReplicaSetAvailable", "one"), "available")
        patch = {"spec": {"template": make_deployment(2, "two")["spec"]["template"]}}
        await cluster.client.patch(DEPLOYMENTS, "web", patch, namespace="default")
        await cluster.until(lambda: condition("NewReplicaSetAvailable", "two"), "rolled over")
        revisions = sorted(
            item["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
            for item in await cluster.items(REPLICA_SETS)
        )
        assert revisions == ["1", "2"]
        reasons = {event["reason"] for event in await cluster.items(EVENTS)}
        assert {"ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete"} <= reasons
        await cluster.client.delete(DEPLOYMENTS, "web", namespace="default", propagation="Background")
        await cluster.pods(0)
        assert await cluster.items(REPLICA_SETS) == []


async def test_service_gets_the_addresses_of_its_pods() -> None:
    async with running_cluster() as cluster:
        spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}
        service = {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}
        await cluster.client.create(SERVICES, service)
        await cluster.client.create(DEPLOYMENTS, make_deployment(2))
        for number, pod in enumerate(await cluster.pods(2)):
            await cluster.set_ready(pod, ip=f"10.244.0.{number + 2}")

        async def addresses() -> bool:
            slices = [item for item in await cluster.items(ENDPOINT_SLICES) if item["metadata"]["name"] != "kubernetes"]
            found = [
                (endpoint["addresses"][0], endpoint["conditions"]["ready"], item["ports"][0]["port"])
                for item in slices
                for endpoint in item["endpoints"] or ()
            ]
            return sorted(found) == [("10.244.0.2", True, 80), ("10.244.0.3", True, 80)]

        await cluster.until(addresses, "both addresses")


async def test_a_budget_lets_pods_go_as_far_as_others_are_healthy() -> None:
    async with running_cluster() as cluster:
        await cluster.client.create(DEPLOYMENTS, make_deployment(2))
        for pod in await cluster.pods(2):
            await cluster.set_ready(pod)
        spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
        budget = {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}
        await cluster.client.create(POD_DISRUPTION_BUDGETS, budget)

        async def allows(count: int) -> bool:
            found = await cluster.client.get(POD_DISRUPTION_BUDGETS, "web", namespace="default")
            status = found["status"]
            return (status.get("observedGeneration"), status["disruptionsAllowed"]) == (1, count)

        async def evict(name: str) -> None:
            eviction = {"metadata": {"name": name}}
            await cluster.client.create_subresource(PODS, name, "eviction", eviction, namespace="default")

        await cluster.until(lambda: allows(1), "one may go")
        first, second = [pod["metadata"]["name"] for pod in await cluster.items(PODS)]
        await evict(first)
        with pytest.raises(ApiError, match="violate the pod's disruption budget") as refusal:
            await evict(second)
        assert refusal.value.code == 429

        async def is_replaced() -> bool:
            names = {pod["metadata"]["name"] for pod in await cluster.items(PODS)}
            return len(names - {first, second}) == 1

        await cluster.until(is_replaced, "a new Pod")
        for pod in await cluster.items(PODS):
            await cluster.set_ready(pod)
        await cluster.until(lambda: allows(1), "the next may go")
        await evict(second)


async def test_deleted_namespace_goes_with_its_content() -> None:
    async with running_cluster() as cluster:
        await cluster.client.create(NAMESPACES, {"metadata": {"name": "doomed"}})
        await cluster.until(
            lambda: cluster.client.find(CONFIG_MAPS, "kube-root-ca.crt", namespace="doomed"), "root certificate"
        )
        await cluster.until(lambda: cluster.client.find(SERVICE_ACCOUNTS, "default", namespace="doomed"), "account")
        await cluster.client.create(DEPLOYMENTS, make_deployment(3, namespace="doomed"))
        await cluster.pods(3, "doomed")
        await cluster.client.delete(NAMESPACES, "doomed")

        async def is_gone() -> bool:
            return await cluster.client.find(NAMESPACES, "doomed") is None

        await cluster.until(is_gone, "namespace gone")
        assert await cluster.items(PODS, "doomed") == []
        assert await cluster.items(DEPLOYMENTS, "doomed") == []


async def test_controllers_work_over_https_as_well() -> None:
    async with running_api_server() as server:
        transport = HttpTransport(server.url, server.client_ssl_context(), user_agent="kube-controller-manager/test")
        client, clock = Client(transport), SystemClock()
        context = ControllerContext(
            client_for=lambda _: client,
            informers=InformerFactory(client, clock=clock, random=Random(1)),
            clock=clock,
            random=Random(1),
            options=OPTIONS,
        )
        async with running(context):
            cluster = Cluster(server)
            await cluster.until(
                lambda: cluster.client.find(SERVICE_ACCOUNTS, "default", namespace="default"), "default account"
            )
            await cluster.client.create(DEPLOYMENTS, make_deployment(3))
            await cluster.pods(3)
            await cluster.client.delete(DEPLOYMENTS, "web", namespace="default")
            await cluster.pods(0)
        await transport.close()


async def test_refused_write_names_the_controllers_user() -> None:
    async with running_api_server(https=False) as server:
        context = local_context(server.endpoint, clock=SystemClock(), random=Random(1), options=OPTIONS)
        with pytest.raises(ApiError) as caught:
            await context.client_for("deployment-controller").delete(NAMESPACES, "default")
        assert caught.value.code == 403
        assert "system:serviceaccount:kube-system:deployment-controller" in caught.value.message
