"""The scheduler and the Deployment controller without kubelets: Pods onto Node objects, Pod objects of a Deployment.

The Pods exist before the scheduler starts, so that the rate is that of binding alone. No client is limited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable
from typing import Any

from benchmarks.cluster_start import BenchmarkCluster
from benchmarks.figures import Figure, rate_row
from control.api.builtin_kinds import DEPLOYMENTS, NODES, PODS, SERVICE_ACCOUNTS
from control.client.client import Client
from control.client.kubeconfig import transport_from_kubeconfig
from control.client.transport import ServerUnavailableError

NODE_COUNT, POD_COUNT, DEPLOYED_PODS = 1000, 3000, 500
WRITERS = 8
NAMESPACE = "default"
WAIT_SECONDS_MAX = 120.0
API_ONLY = ("--nodes", "0", "--no-scheduler", "--no-controllers")


def measure_binds(cluster: BenchmarkCluster) -> Figure:
    """In a new cluster: Pods onto Node objects."""
    cluster.podling("up", *API_ONLY)
    asyncio.run(_make_nodes_and_pods(cluster))
    cluster.podling("down")
    binds = asyncio.run(_measure_binds(cluster))
    return rate_row(f"{POD_COUNT} Pods onto {NODE_COUNT} nodes", "binds/s", binds, 450)


def measure_deployment(cluster: BenchmarkCluster) -> Figure:
    """In a new cluster: the Pod objects of one Deployment."""
    cluster.podling("up", "--nodes", "0", "--no-scheduler")
    pods = asyncio.run(_measure_deployment(cluster))
    return rate_row(f"Deployment 0 → {DEPLOYED_PODS} Pod objects", "Pods/s", pods, 1000)


async def _make_nodes_and_pods(cluster: BenchmarkCluster) -> None:
    client = _client(cluster)
    try:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await client.create(SERVICE_ACCOUNTS, account, namespace=NAMESPACE)
        await _all(_make_node(client, f"node-{number}") for number in range(NODE_COUNT))
        pods = [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}"}, "spec": _pod_spec()}
            for number in range(POD_COUNT)
        ]
        await _all(client.create(PODS, pod, namespace=NAMESPACE) for pod in pods)
    finally:
        await client.close()


async def _make_node(client: Client, name: str) -> None:
    """A Ready node of 4 CPUs that takes Pods."""
    metadata = {"name": name, "labels": {"kubernetes.io/hostname": name}}
    await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
    amounts = {"cpu": "4", "memory": "32Gi", "pods": "110"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    status = {"status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}}
    await client.patch(NODES, name, status, subresource="status")
    await client.patch(NODES, name, {"spec": {"taints": None}})


def _pod_spec() -> dict[str, Any]:
    requests = {"cpu": "100m", "memory": "500Mi"}
    container = {"name": "main", "image": "nginx", "resources": {"requests": requests}}
    return {"containers": [container], "automountServiceAccountToken": False}


async def _measure_binds(cluster: BenchmarkCluster) -> float:
    """Start the scheduler and follow what it binds, from the first look at the API on."""
    starting = await asyncio.create_subprocess_exec(
        *cluster.command("up", "--nodes", "0", "--no-controllers"),
        env=cluster.environment,
        stdout=asyncio.subprocess.DEVNULL,
    )
    client = _client(cluster)
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            listed = await _list_pods_when_ready(client)
            waiting = {pod["metadata"]["name"] for pod in listed["items"] if not pod["spec"].get("nodeName")}
            count, begin = len(waiting), time.perf_counter()
            version = listed["metadata"]["resourceVersion"]
            async for batch in client.watch(PODS, namespace=NAMESPACE, resource_version=version):
                bound = [event.object for event in batch if (event.object.get("spec") or {}).get("nodeName")]
                waiting -= {pod["metadata"]["name"] for pod in bound}
                if count == POD_COUNT:
                    # The clock starts with the first bindings; they do not count.
                    count, begin = len(waiting), time.perf_counter()
                if not waiting:
                    break
            seconds = time.perf_counter() - begin
        await starting.wait()
        return count / seconds
    finally:
        await client.close()


async def _list_pods_when_ready(client: Client) -> Any:
    while True:
        try:
            return await client.list(PODS, namespace=NAMESPACE)
        except ServerUnavailableError:
            await asyncio.sleep(0.005)


async def _measure_deployment(cluster: BenchmarkCluster) -> float:
    """From the Deployment's creation until the last of its Pods exists."""
    client = _client(cluster)
    labels = {"app": "bench"}
    template = {"metadata": {"labels": labels}, "spec": _pod_spec()}
    spec = {"replicas": DEPLOYED_PODS, "selector": {"matchLabels": labels}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bench"}, "spec": spec}
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            async for batch in client.watch(SERVICE_ACCOUNTS, namespace=NAMESPACE, resource_version="0"):
                if any(event.type == "ADDED" for event in batch):
                    break  # the namespace takes Pods
        version = (await client.list(PODS, namespace=NAMESPACE))["metadata"]["resourceVersion"]
        watch = client.watch(PODS, namespace=NAMESPACE, label_selector="app=bench", resource_version=version)
        begin = time.perf_counter()
        await client.create(DEPLOYMENTS, deployment, namespace=NAMESPACE)
        made = 0
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            async for batch in watch:
                made += sum(event.type == "ADDED" for event in batch)
                if made == DEPLOYED_PODS:
                    break
        return DEPLOYED_PODS / (time.perf_counter() - begin)
    finally:
        await client.close()


def _client(cluster: BenchmarkCluster) -> Client:
    return Client(transport_from_kubeconfig(cluster.directory.admin_kubeconfig))


async def _all(works: Iterable[Awaitable[Any]]) -> None:
    """Do all of it, a few at a time."""
    left = iter(works)

    async def work() -> None:
        for one in left:
            await one

    await asyncio.gather(*(work() for _ in range(WRITERS)))
