"""`python -m benchmarks` (make bench): measure and print the table.

python -m benchmarks [--starts N] [--samples N] [--burst N] [--idle SECONDS] [--api SECONDS] [--clusters N]
    [--only PART ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.api_server import api_rows, measure_api
from benchmarks.cluster_start import BenchmarkCluster, cluster_place, measure_idle, measure_start
from benchmarks.figures import Figure, format_table, limit_row, ratio_row, summarize
from benchmarks.full_node import measure_full_node
from benchmarks.large_store import OBJECTS, measure_large_start
from benchmarks.nodes import measure_churn, measure_nodes
from benchmarks.pods import PodFigures, measure_pods
from benchmarks.probes import measure_probes
from benchmarks.raw_docker import raw_docker
from benchmarks.scheduling import measure_binds, measure_deployment
from control.client.client import Client
from control.client.kubeconfig import transport_from_kubeconfig

CLUSTER = "bench"
PARTS = ("start", "cluster", "probes", "full", "api", "store", "nodes", "scheduling", "clusters")


def main() -> int:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description="Measure Podling beside raw Docker.")
    parser.add_argument("--starts", type=int, default=3, help="starts from nothing")
    parser.add_argument("--samples", type=int, default=15, help="Pods measured one by one")
    parser.add_argument("--burst", type=int, default=50, help="Pods of the burst")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of the idle window")
    parser.add_argument("--api", type=float, default=3.0, help="seconds per figure of the API server")
    parser.add_argument("--clusters", type=int, default=20, help="clusters that come and go")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    arguments = parser.parse_args()
    figures = [figure for part in PARTS if part in arguments.only for figure in MEASURES[part](arguments)]
    print(format_table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps([dataclasses.asdict(figure) for figure in figures], indent=2))
    return 0


def measure_cluster(arguments: argparse.Namespace) -> list[Figure]:
    """One node: at rest, and its Pods beside raw Docker."""
    with cluster_place(CLUSTER) as cluster:
        cluster.podling("up")
        print("Measuring the idle cluster ...", file=sys.stderr)
        idle = measure_idle(cluster, seconds=arguments.idle)
        print("Measuring Pods beside raw Docker ...", file=sys.stderr)
        pods = asyncio.run(_measure_pods(cluster, samples=arguments.samples, burst=arguments.burst))
    return [
        limit_row("idle, all processes: memory", "MB RSS", idle.rss_mb, 130),
        limit_row("idle: CPU", "s/minute", idle.cpu_seconds_per_minute, 0.5),
        *pod_rows(*pods, burst=arguments.burst),
    ]


def measure_prober(arguments: argparse.Namespace) -> list[Figure]:
    """The probes of idle Pods."""
    print("Measuring probes ...", file=sys.stderr)
    return measure_probes(seconds=arguments.idle)


def measure_agent(arguments: argparse.Namespace) -> list[Figure]:
    """The agent of a node full of Pods."""
    print("Measuring an agent with many Pods ...", file=sys.stderr)
    with cluster_place(CLUSTER) as cluster:
        return measure_full_node(cluster, seconds=arguments.idle)


def measure_api_server(arguments: argparse.Namespace) -> list[Figure]:
    """The API server under load."""
    print("Measuring the API server ...", file=sys.stderr)
    with cluster_place(CLUSTER) as cluster:
        cluster.podling("up", "--nodes", "0")
        return api_rows(measure_api(cluster, seconds=arguments.api))


def measure_store(arguments: argparse.Namespace) -> list[Figure]:
    """A start with a full store."""
    print(f"Measuring a start with {OBJECTS} objects ...", file=sys.stderr)
    with cluster_place(CLUSTER) as cluster:
        seconds, memory_mb = measure_large_start(cluster)
    return [
        limit_row(f"podling up with {OBJECTS} objects", "s", seconds, 5.0),
        Figure(name=f"processes with {OBJECTS} objects: memory", unit="MB RSS", ours=memory_mb),
    ]


def measure_several_nodes(arguments: argparse.Namespace) -> list[Figure]:
    """Three nodes at rest, and one of them killed."""
    print("Measuring several nodes ...", file=sys.stderr)
    with cluster_place(CLUSTER) as cluster:
        return measure_nodes(cluster, idle_seconds=arguments.idle)


def measure_control_plane(arguments: argparse.Namespace) -> list[Figure]:
    """Scheduler and controllers without kubelets."""
    print("Measuring scheduler and controllers ...", file=sys.stderr)
    rows = []
    for measure in (measure_binds, measure_deployment):
        with cluster_place(CLUSTER) as cluster:
            rows.append(measure(cluster))
    return rows


def measure_clusters(arguments: argparse.Namespace) -> list[Figure]:
    """Clusters that come and go."""
    print(f"Starting and deleting {arguments.clusters} clusters ...", file=sys.stderr)
    return [measure_churn(CLUSTER, arguments.clusters)] if arguments.clusters else []


def measure_starts(arguments: argparse.Namespace) -> list[Figure]:
    """Median of several starts from nothing."""
    starts, count = [], arguments.starts
    for number in range(count):
        print(f"Measuring start {number + 1} of {count} ...", file=sys.stderr)
        with cluster_place(CLUSTER) as cluster:
            starts.append(measure_start(cluster))
    return [
        limit_row("empty state → API ready", "s", statistics.median(item.api_ready_s for item in starts), 1.0),
        Figure(
            name="empty state → Node Ready",
            unit="s",
            ours=statistics.median(item.node_ready_s for item in starts),
        ),
        limit_row(
            "empty state → first nginx Pod Ready",
            "s",
            statistics.median(item.first_pod_ready_s for item in starts),
            2.0,
        ),
    ]


async def _measure_pods(cluster: BenchmarkCluster, *, samples: int, burst: int) -> tuple[PodFigures, PodFigures]:
    transport = transport_from_kubeconfig(cluster.directory.admin_kubeconfig)
    try:
        with raw_docker() as engine:
            return await measure_pods(Client(transport), engine, samples=samples, burst=burst, cluster=cluster.name)
    finally:
        await transport.close()


def pod_rows(ours: PodFigures, raw: PodFigures, *, burst: int) -> list[Figure]:
    """Rows of the Pod measurements beside raw Docker."""
    rows = []
    for name, samples, raw_samples, ratio_max in (
        ("Pod create → Running", ours.create_ms, raw.create_ms, 0.65),
        ("Pod delete → gone", ours.delete_ms, raw.delete_ms, 1.5),
        ("kill -9 → new process", ours.replace_ms, raw.replace_ms, 1.2),
    ):
        (median, tail), (raw_median, raw_tail) = summarize(samples), summarize(raw_samples)
        rows.append(ratio_row(f"{name}, p50", "ms", median, raw_median, ratio_max))
        rows.append(Figure(name=f"{name}, p95", unit="ms", ours=tail, floor=raw_tail))
    if burst:
        name = f"Deployment of {burst} Pods, all Ready"
        rows.append(ratio_row(name, "s", statistics.median(ours.burst_s), statistics.median(raw.burst_s), 0.65))
    return rows


MEASURES: dict[str, Callable[[argparse.Namespace], list[Figure]]] = {
    "start": measure_starts,
    "cluster": measure_cluster,
    "probes": measure_prober,
    "full": measure_agent,
    "api": measure_api_server,
    "store": measure_store,
    "nodes": measure_several_nodes,
    "scheduling": measure_control_plane,
    "clusters": measure_clusters,
}


if __name__ == "__main__":
    sys.exit(main())
