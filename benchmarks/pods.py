"""Pods through the Kubernetes API: create → Running, delete → gone, kill → new process, a burst."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from control.api.builtin_kinds import DEPLOYMENTS, NAMESPACES, PODS
from control.client.client import Client

WAIT_SECONDS_MAX = 120.0
Predicate = Callable[[dict[str, Any] | None], bool]


@dataclass(slots=True)
class PodWatch:
    """The state of all Pods of a namespace as a watch tells it, with waiting for what one looks like."""

    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, client: Client, namespace: str) -> None:
        """Keep `pods` current until cancelled."""
        listed = await client.list(PODS, namespace=namespace)
        version = listed["metadata"]["resourceVersion"]
        async for batch in client.watch(PODS, namespace=namespace, resource_version=version):
            for event in batch:
                name = event.object["metadata"]["name"]
                if event.type == "DELETED":
                    self.pods.pop(name, None)
                elif event.type in ("ADDED", "MODIFIED"):
                    self.pods[name] = event.object
            self.changed.set()

    async def until(self, condition: Callable[[dict[str, dict[str, Any]]], bool]) -> None:
        """Return when the condition holds. Raises TimeoutError."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not condition(self.pods):
                self.changed.clear()
                await self.changed.wait()


def is_running(pod: dict[str, Any] | None) -> bool:
    """Whether every container of the Pod runs."""
    statuses = (pod or {}).get("status", {}).get("containerStatuses", [])
    return bool(statuses) and all("running" in item["state"] for item in statuses)


def is_ready(pod: dict[str, Any] | None) -> bool:
    """Whether the Pod's Ready condition is True."""
    conditions = (pod or {}).get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def pod_manifest(name: str) -> dict[str, Any]:
    """A Pod of one nginx container."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": _pod_spec()}


def _pod_spec() -> dict[str, Any]:
    container = {"name": "nginx", "image": "nginx", "imagePullPolicy": "IfNotPresent"}
    return {"containers": [container], "automountServiceAccountToken": False}


@dataclass(frozen=True, slots=True)
class PodFigures:
    """Samples in milliseconds, the burst in seconds."""

    create_ms: list[float]
    delete_ms: list[float]
    replace_ms: list[float]
    burst_s: float


async def measure_pods(client: Client, *, samples: int, burst: int, cluster: str) -> PodFigures:
    """Measure everything in a namespace of its own."""
    async with _namespace(client, "benchmark-pods") as namespace:
        watch = PodWatch()
        following = asyncio.create_task(watch.follow(client, namespace))
        try:
            await _one(client, watch, namespace, "warm-up", cluster)
            rows = [await _one(client, watch, namespace, f"pod-{number}", cluster) for number in range(samples)]
            burst_seconds = await _burst(client, watch, namespace, burst)
        finally:
            following.cancel()
    return PodFigures([row[0] for row in rows], [row[2] for row in rows], [row[1] for row in rows], burst_seconds)


async def _one(client: Client, watch: PodWatch, namespace: str, name: str, cluster: str) -> tuple[float, float, float]:
    begin = time.perf_counter()
    await client.create(PODS, pod_manifest(name), namespace=namespace)
    await watch.until(lambda pods: is_running(pods.get(name)))
    created = time.perf_counter() - begin
    replaced = await asyncio.to_thread(_kill_and_wait, cluster, namespace, name)
    await watch.until(
        lambda pods: is_running(pods.get(name)) and pods[name]["status"]["containerStatuses"][0]["restartCount"] == 1
    )
    begin = time.perf_counter()
    await client.delete(PODS, name, namespace=namespace)
    await watch.until(lambda pods: name not in pods)
    return created * 1000, replaced * 1000, (time.perf_counter() - begin) * 1000


def _kill_and_wait(cluster: str, namespace: str, pod: str) -> float:
    """SIGKILL the Pod's nginx; seconds until the engine reports the start of the next attempt."""
    filters = ("type=container", "event=start", f"label=io.kubernetes.pod.name={pod}",
               f"label=io.kubernetes.pod.namespace={namespace}", f"label=io.podling.cluster={cluster}")  # fmt: skip
    options = [option for item in filters for option in ("--filter", item)]
    record = json.loads(_output("docker", "inspect", _container_id(cluster, namespace, pod)))[0]
    events = subprocess.Popen(
        ["docker", "events", "--since", "1s", *options, "--format", "{{.ID}}"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert events.stdout
        # The stream replays the last second: whatever it shows before the kill is not the new attempt.
        begin = time.perf_counter()
        subprocess.run(["kill", "-9", str(record["State"]["Pid"])], check=True)
        for line in events.stdout:
            if line.strip() not in ("", record["Id"]):
                return time.perf_counter() - begin
    finally:
        events.kill()
        events.wait()
    raise AssertionError("the engine's events ended")


def _container_id(cluster: str, namespace: str, pod: str) -> str:
    labels = {
        "io.podling.cluster": cluster,
        "io.kubernetes.pod.name": pod,
        "io.kubernetes.pod.namespace": namespace,
        "io.kubernetes.container.name": "nginx",
    }
    filters = [f"label={key}={value}" for key, value in labels.items()]
    return _output("docker", "ps", "-q", *(option for item in filters for option in ("--filter", item)))


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


async def _burst(client: Client, watch: PodWatch, namespace: str, count: int) -> float:
    labels = {"app": "burst"}
    spec = {"replicas": count, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod_spec()}}  # fmt: skip
    begin = time.perf_counter()
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "burst"}, "spec": spec}
    await client.create(DEPLOYMENTS, deployment, namespace=namespace)
    await watch.until(lambda pods: sum(is_ready(pod) for pod in pods.values()) == count)
    return time.perf_counter() - begin


@asynccontextmanager
async def _namespace(client: Client, name: str) -> AsyncIterator[str]:
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        yield name
    finally:
        version = (await client.list(NAMESPACES))["metadata"]["resourceVersion"]
        await client.delete(NAMESPACES, name)
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await _until_deleted(client, name, version)


async def _until_deleted(client: Client, namespace: str, version: str) -> None:
    async for batch in client.watch(NAMESPACES, field_selector=f"metadata.name={namespace}", resource_version=version):
        if any(event.type == "DELETED" for event in batch):
            return
