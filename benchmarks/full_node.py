"""What the agent of a well-filled node costs: its memory with 50 Pods, its CPU time while 100 idle ones are probed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from benchmarks.cluster_start import BenchmarkCluster, cpu_seconds, process_ids, rss_mb
from benchmarks.figures import Figure, limit_row
from benchmarks.pods import PodWatch, is_ready, pod_spec
from control.api.builtin_kinds import DEPLOYMENTS
from control.client.client import Client, PatchType
from control.client.kubeconfig import transport_from_kubeconfig

PODS_FOR_MEMORY, PODS_FOR_CPU = 50, 100
NAMESPACE, NAME = "default", "idle"
SETTLE_SECONDS = 5.0
PROBE = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 10}


def measure_full_node(cluster: BenchmarkCluster, *, seconds: float) -> list[Figure]:
    """In a new cluster of one node: Pods of one container with a readiness and a liveness probe over HTTP."""
    cluster.podling("up")
    memory_mb, share = asyncio.run(_measure(cluster, seconds))
    return [
        limit_row(f"agent with {PODS_FOR_MEMORY} Pods: memory", "MB RSS", memory_mb, 60),
        limit_row(f"agent with {PODS_FOR_CPU} idle Pods: CPU", "% of a core", share * 100, 3),
    ]


async def _measure(cluster: BenchmarkCluster, seconds: float) -> tuple[float, float]:
    """Resident megabytes with the fewer Pods, share of a core with the more."""
    client = Client(transport_from_kubeconfig(cluster.directory.admin_kubeconfig))
    agent = next(pid for pid in process_ids(cluster) if _is_agent(pid))
    watch = PodWatch()
    following = asyncio.create_task(watch.follow(client, NAMESPACE))
    try:
        await client.create(DEPLOYMENTS, _deployment(PODS_FOR_MEMORY), namespace=NAMESPACE)
        await watch.until(lambda pods: _all_ready(pods, PODS_FOR_MEMORY))
        await asyncio.sleep(SETTLE_SECONDS)
        memory_mb = rss_mb(agent)
        scale = {"spec": {"replicas": PODS_FOR_CPU}}
        await client.patch(DEPLOYMENTS, NAME, scale, namespace=NAMESPACE, type=PatchType.MERGE)
        await watch.until(lambda pods: _all_ready(pods, PODS_FOR_CPU))
        await asyncio.sleep(SETTLE_SECONDS)
        used = cpu_seconds(agent)
        await asyncio.sleep(seconds)
        return memory_mb, (cpu_seconds(agent) - used) / seconds
    finally:
        following.cancel()
        await client.close()


def _all_ready(pods: dict[str, dict[str, Any]], count: int) -> bool:
    return len(pods) == count and all(is_ready(pod) for pod in pods.values())


def _is_agent(pid: int) -> bool:
    return b"\0agent\0" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _deployment(count: int) -> dict[str, Any]:
    labels = {"app": NAME}
    spec = pod_spec()
    spec["containers"][0].update(readinessProbe=PROBE, livenessProbe=PROBE)
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": {"replicas": count, "selector": {"matchLabels": labels}, "template": template},
    }
