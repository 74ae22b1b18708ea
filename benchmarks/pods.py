"""Pods through the Kubernetes API beside raw Docker: create → Running, delete → gone, kill → new process, a burst.

Each sample of ours is taken right after one of raw Docker, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import docker

from benchmarks.raw_docker import RawDocker
from control.api.builtin_kinds import DEPLOYMENTS, NAMESPACES, PODS, SERVICE_ACCOUNTS
from control.api.exchange import WatchEvent
from control.client.client import Client

WAIT_SECONDS_MAX = 120.0
# nginx loses a signal that arrives while it starts.
SETTLE_SECONDS = 0.2
BURSTS = 5


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
                if event.type == "DELETED":
                    self.pods.pop(event.object["metadata"]["name"], None)
                elif event.type in ("ADDED", "MODIFIED"):
                    self.pods[event.object["metadata"]["name"]] = event.object
            self.changed.set()

    async def until(self, condition: Callable[[dict[str, dict[str, Any]]], bool]) -> None:
        """Return when the condition holds. Raises TimeoutError."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not condition(self.pods):
                self.changed.clear()
                await self.changed.wait()


def is_running(pod: dict[str, Any] | None, *, restarts: int = 0) -> bool:
    """Whether every container of the Pod runs, restarted that often."""
    statuses = (pod or {}).get("status", {}).get("containerStatuses", [])
    return bool(statuses) and all("running" in item["state"] and item["restartCount"] == restarts for item in statuses)


def is_ready(pod: dict[str, Any] | None) -> bool:
    """Whether the Pod's Ready condition is True."""
    conditions = (pod or {}).get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def pod_manifest(name: str) -> dict[str, Any]:
    """A Pod of one nginx container."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec()}


def pod_spec() -> dict[str, Any]:
    """One nginx container."""
    container = {"name": "nginx", "image": "nginx", "imagePullPolicy": "IfNotPresent"}
    return {"containers": [container], "automountServiceAccountToken": False}


@dataclass(slots=True)
class PodFigures:
    """Samples in milliseconds, the bursts in seconds."""

    create_ms: list[float] = field(default_factory=list)
    delete_ms: list[float] = field(default_factory=list)
    replace_ms: list[float] = field(default_factory=list)
    burst_s: list[float] = field(default_factory=list)


async def measure_pods(
    client: Client, engine: RawDocker, *, samples: int, burst: int, cluster: str
) -> tuple[PodFigures, PodFigures]:
    """Measure everything in a namespace of its own: ours and raw Docker's."""
    ours, raw = PodFigures(), PodFigures()
    async with _namespace(client, "benchmark-pods") as namespace:
        watch = PodWatch()
        following = asyncio.create_task(watch.follow(client, namespace))
        try:
            await asyncio.to_thread(_measure_raw, engine, PodFigures())
            await _measure_ours(client, watch, f"{cluster}/{namespace}/warm-up", PodFigures())
            for number in range(samples):
                await asyncio.to_thread(_measure_raw, engine, raw)
                await _measure_ours(client, watch, f"{cluster}/{namespace}/pod-{number}", ours)
            for number in range(BURSTS if burst else 0):
                raw.burst_s.append(await asyncio.to_thread(engine.burst, burst))
                ours.burst_s.append(await _burst(client, watch, namespace, f"burst-{number}", burst))
        finally:
            following.cancel()
    return ours, raw


def _measure_raw(engine: RawDocker, figures: PodFigures) -> None:
    begin = time.perf_counter()
    pod = engine.create()
    figures.create_ms.append((time.perf_counter() - begin) * 1000)
    pod, seconds = engine.replace_main(pod)
    figures.replace_ms.append(seconds * 1000)
    time.sleep(SETTLE_SECONDS)
    begin = time.perf_counter()
    engine.delete(pod)
    figures.delete_ms.append((time.perf_counter() - begin) * 1000)


async def _measure_ours(client: Client, watch: PodWatch, path: str, figures: PodFigures) -> None:
    cluster, namespace, name = path.split("/")
    begin = time.perf_counter()
    await client.create(PODS, pod_manifest(name), namespace=namespace)
    await watch.until(lambda pods: is_running(pods.get(name)))
    figures.create_ms.append((time.perf_counter() - begin) * 1000)
    container = watch.pods[name]["status"]["containerStatuses"][0]["containerID"].removeprefix("docker://")
    seconds = await asyncio.to_thread(_kill_and_wait, cluster, watch.pods[name]["metadata"]["uid"], container)
    figures.replace_ms.append(seconds * 1000)
    await watch.until(lambda pods: is_running(pods.get(name), restarts=1))
    await asyncio.sleep(SETTLE_SECONDS)
    begin = time.perf_counter()
    await client.delete(PODS, name, namespace=namespace)
    await watch.until(lambda pods: name not in pods)
    figures.delete_ms.append((time.perf_counter() - begin) * 1000)


def _kill_and_wait(cluster: str, pod_uid: str, container: str) -> float:
    """SIGKILL the container's process; seconds until the engine reports the start of the next attempt."""
    client = docker.APIClient()
    pid = client.inspect_container(container)["State"]["Pid"]
    labels = {"io.podling.cluster": cluster, "io.kubernetes.pod.uid": pod_uid, "io.kubernetes.container.name": "nginx"}
    with _starts(client, [f"{name}={value}" for name, value in labels.items()]) as starts:
        begin = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        while starts.get(timeout=WAIT_SECONDS_MAX) == container:
            """The stream replays the last second: this start was before the kill."""
        return time.perf_counter() - begin


@contextmanager
def _starts(client: docker.APIClient, labels: list[str]) -> Iterator[queue.Queue[str]]:
    """Ids of the containers with these labels as they start, from a stream that is open by now."""
    filters = {"type": "container", "event": "start", "label": labels}
    stream = client.events(since=int(time.time()) - 1, filters=filters, decode=True)
    started: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for event in stream:
            started.put(event["id"])

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield started
    finally:
        stream.close()
        thread.join(timeout=5)


async def _burst(client: Client, watch: PodWatch, namespace: str, name: str, count: int) -> float:
    """Seconds until all Pods of a new Deployment are Ready; deletes it and waits until they are gone."""
    labels = {"app": name}
    spec = {"replicas": count, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec()}}  # fmt: skip
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    begin = time.perf_counter()
    await client.create(DEPLOYMENTS, deployment, namespace=namespace)
    await watch.until(lambda pods: sum(is_ready(pod) for pod in pods.values()) == count)
    seconds = time.perf_counter() - begin
    await client.delete(DEPLOYMENTS, name, namespace=namespace)
    await watch.until(lambda pods: not pods)
    return seconds


@asynccontextmanager
async def _namespace(client: Client, name: str) -> AsyncIterator[str]:
    """A namespace that takes Pods: it has its default ServiceAccount."""
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        await _until_event(client.watch(SERVICE_ACCOUNTS, namespace=name, resource_version="0"), "ADDED", "default")
        yield name
    finally:
        version = (await client.list(NAMESPACES))["metadata"]["resourceVersion"]
        await client.delete(NAMESPACES, name)
        await _until_event(client.watch(NAMESPACES, resource_version=version), "DELETED", name)


async def _until_event(watch: AsyncIterator[list[WatchEvent]], type: str, name: str) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        async for batch in watch:
            if any(event.type == type and event.object["metadata"]["name"] == name for event in batch):
                return
