"""Several nodes: what they cost at rest, how soon a dead one is made good; and what clusters leave behind."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from typing import Any

from benchmarks.cluster_start import BenchmarkCluster, cluster_place, measure_idle
from benchmarks.figures import Figure, limit_row
from benchmarks.pods import PodWatch, is_ready, pod_manifest
from control.api.builtin_kinds import DEPLOYMENTS
from control.client.client import Client
from control.client.kubeconfig import transport_from_kubeconfig
from tests.host_snapshot import difference, take_snapshot

NODE_COUNT = 3
REPLICAS = 6
NAMESPACE = "default"


def measure_nodes(cluster: BenchmarkCluster, *, idle_seconds: float) -> list[Figure]:
    """A cluster of several nodes at rest, then one of them killed."""
    cluster.podling("up", "--nodes", str(NODE_COUNT))
    idle = measure_idle(cluster, seconds=idle_seconds)
    failover = asyncio.run(_measure_failover(cluster))
    return [
        Figure(name=f"idle, {NODE_COUNT} nodes: memory", unit="MB RSS", ours=idle.rss_mb),
        Figure(name=f"idle, {NODE_COUNT} nodes: CPU", unit="s/minute", ours=idle.cpu_seconds_per_minute),
        limit_row("node killed → replacements Ready", "s", failover, 10),
    ]


async def _measure_failover(cluster: BenchmarkCluster) -> float:
    """Seconds from the end of `podling node kill` (all is dead) until as many Pods as before are Ready elsewhere."""
    client = Client(transport_from_kubeconfig(cluster.directory.admin_kubeconfig))
    lost = f"{cluster.name}-node-2"
    watch = PodWatch()
    following = asyncio.create_task(watch.follow(client, NAMESPACE))

    def are_ready(pods: dict[str, dict[str, Any]], *, but: str) -> bool:
        return len([pod for pod in pods.values() if is_ready(pod) and pod["spec"]["nodeName"] != but]) == REPLICAS

    try:
        labels = {"app": "web"}
        template = {"metadata": {"labels": labels}, "spec": pod_manifest("web")["spec"]}
        spec = {"replicas": REPLICAS, "selector": {"matchLabels": labels}, "template": template}
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
        await client.create(DEPLOYMENTS, deployment, namespace=NAMESPACE)
        await watch.until(lambda pods: are_ready(pods, but=""))
        begin = time.perf_counter()
        await asyncio.to_thread(cluster.podling, "node", "kill", lost)
        await watch.until(lambda pods: are_ready(pods, but=lost))
        return time.perf_counter() - begin
    finally:
        following.cancel()
        await client.close()


def measure_churn(name: str, count: int) -> Figure:
    """Clusters started and deleted in turn, each with a Pod: how many kinds of things differ on the host afterwards."""
    before = take_snapshot()
    others = before.pop("processes")  # may end meanwhile
    begin = time.perf_counter()
    for _ in range(count):
        with cluster_place(name) as cluster:
            cluster.podling("up")
            command = ["kubectl", "apply", "-f", "-"]
            manifest = json.dumps(pod_manifest("web"))
            subprocess.run(
                command, input=manifest, text=True, env=cluster.environment, check=True, stdout=subprocess.DEVNULL
            )
    seconds = time.perf_counter() - begin
    after = take_snapshot()
    left = difference(before, after)
    if begun := [line for line in after["processes"] if line not in others]:
        left["processes"] = begun
    note = f"({seconds / count:.1f} s each)" + (f" {json.dumps(left)}" if left else "")
    return limit_row(f"{count} clusters come and go: left on the host", "kinds", len(left), 0, note)
