"""The API server under load: GET, CREATE, PATCH, DELETE, LIST of 1,000 Pods, 100 watchers; memory of 10,000 Pods.

The load comes from a process of its own (`python -m benchmarks.api_server`), so that it shares no event loop with
anybody.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.cluster_start import BenchmarkCluster, rss_mb
from benchmarks.figures import Figure, limit_row, rate_row
from benchmarks.load import Caller, Load, Tally, encode
from control.cli.supervisor_client import ask

CLIENTS = (1, 8, 32)
LISTED_PODS = 1000
#: A Pod as the server prints it; what it lacks of that is an annotation.
POD_BYTES = 1900
MANY_PODS = 10_000
WATCHERS = 100
LATENCY_WRITES = 30
RATE_WRITERS = 8
NAMESPACE = "benchmark-api"
CROWDED_NAMESPACE = "benchmark-api-crowded"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiFigures:
    """Requests per second by verb and number of clients; milliseconds; events per second over all watchers; MB."""

    rates: dict[str, dict[str, float]]
    list_pods: float
    watch_ms: float
    watch_events: float
    pods_mb: float


def measure_api(cluster: BenchmarkCluster, *, seconds: float) -> ApiFigures:
    """Run the load process against a cluster."""
    config = cluster.directory.load()
    status = ask(cluster.directory, "status")
    assert config is not None
    assert status is not None
    [control] = [str(item["pid"]) for item in status["processes"] if item["name"] == "control"]
    arguments = [config.host, str(config.port), str(cluster.directory.pki), str(seconds), control]
    command = [sys.executable, "-m", "benchmarks.api_server", *arguments]
    finished = subprocess.run(command, env=cluster.environment, check=True, stdout=subprocess.PIPE)
    return ApiFigures(**json.loads(finished.stdout))


#: Requests per second at a number of clients that are aimed at.
_TARGETS = {("CREATE", "8"): 1500.0, ("GET", "32"): 8000.0}


def api_rows(figures: ApiFigures) -> list[Figure]:
    """Rows of the table."""
    rows = []
    for verb, rates in figures.rates.items():
        for clients, rate in rates.items():
            name = f"ConfigMap {verb}, {clients} client{'s' * (clients != '1')}"
            minimum = _TARGETS.get((verb, clients))
            rows.append(
                Figure(name=name, unit="req/s", ours=rate)
                if minimum is None
                else rate_row(name, "req/s", rate, minimum)
            )
    return [
        *rows,
        rate_row(f"LIST of {LISTED_PODS} Pods, 8 clients", "req/s", figures.list_pods, 300),
        limit_row(f"{WATCHERS} watchers: write → last receipt", "ms", figures.watch_ms, 6),
        rate_row(f"{WATCHERS} watchers", "events/s", figures.watch_events, 60_000),
        Figure(name=f"memory of the control plane for {MANY_PODS} Pods", unit="MB", ours=figures.pods_mb),
    ]


class Requests:
    """The requests of the measurements; each call makes the next one."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._maps = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
        self._padding = ""
        self.created = self._patched = self._deleted = 0

    def create(self) -> bytes:
        """Create a ConfigMap with a new name."""
        metadata = {"name": f"c{self.created}"}
        self.created += 1
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}
        return encode("POST", self._maps, self._host, body)

    def get(self) -> bytes:
        """Read one of the ConfigMaps."""
        return encode("GET", f"{self._maps}/c0", self._host)

    def patch(self) -> bytes:
        """Change one of the ConfigMaps, each in its turn."""
        self._patched += 1
        path = f"{self._maps}/c{self._patched % self.created}"
        body = {"data": {"a": str(self._patched)}}
        return encode("PATCH", path, self._host, body, media="application/merge-patch+json")

    def delete(self) -> bytes | None:
        """Delete the oldest ConfigMap, while there is one."""
        if self._deleted == self.created:
            return None
        self._deleted += 1
        return encode("DELETE", f"{self._maps}/c{self._deleted - 1}", self._host)

    def pad_pods(self, printed_bytes: int) -> None:
        """Make the Pods to come as large as they shall be, from what one without padding is."""
        self._padding = "x" * (POD_BYTES - printed_bytes)

    def create_pod(self, namespace: str, number: int) -> bytes:
        """Create a Pod which no scheduler takes."""
        metadata = {"name": f"pod-{number:05}", "annotations": {"padding": self._padding}}
        container = {"name": "main", "image": "nginx"}
        spec = {"schedulerName": "none", "automountServiceAccountToken": False, "containers": [container]}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        return encode("POST", f"/api/v1/namespaces/{namespace}/pods", self._host, body)

    def create_namespace(self, name: str) -> bytes:
        """Create a namespace."""
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        return encode("POST", "/api/v1/namespaces", self._host, body)


async def measure(load: Load, seconds: float, control_pid: int) -> ApiFigures:
    """All figures."""
    requests = Requests(load.host)
    for namespace in (NAMESPACE, CROWDED_NAMESPACE):
        await load.send(requests.create_namespace(namespace))
    await asyncio.sleep(1)  # their ServiceAccounts appear
    await load.send(requests.create())
    watch_ms, watch_events = await _measure_watches(load, requests, seconds)
    rates = {
        verb: {str(clients): await load.rate(clients, seconds, make) for clients in CLIENTS}
        for verb, make in (
            ("GET", requests.get),
            ("CREATE", requests.create),
            ("PATCH", requests.patch),
            ("DELETE", requests.delete),
        )
    }
    await load.send(requests.create_pod(CROWDED_NAMESPACE, 0))
    requests.pad_pods(
        await load.read_length(encode("GET", f"/api/v1/namespaces/{CROWDED_NAMESPACE}/pods/pod-00000", load.host))
    )
    await load.send(*(requests.create_pod(NAMESPACE, number) for number in range(LISTED_PODS)))
    pods = encode("GET", f"/api/v1/namespaces/{NAMESPACE}/pods", load.host)
    list_rate = await load.rate(8, seconds, lambda: pods)
    before = rss_mb(control_pid)
    await load.send(*(requests.create_pod(CROWDED_NAMESPACE, number) for number in range(1, MANY_PODS + 1)))
    pods_mb = rss_mb(control_pid) - before
    for namespace in (NAMESPACE, CROWDED_NAMESPACE):
        await load.send(encode("DELETE", f"/api/v1/namespaces/{namespace}", load.host))
    return ApiFigures(rates=rates, list_pods=list_rate, watch_ms=watch_ms, watch_events=watch_events, pods_mb=pods_mb)


async def _measure_watches(load: Load, requests: Requests, seconds: float) -> tuple[float, float]:
    """Median milliseconds from a write until all have it; events per second while a few clients write."""
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps?watch=true&resourceVersion=0"
    async with load.watchers(WATCHERS, path) as tally:
        delays = []
        for _ in range(LATENCY_WRITES):
            delays.append(await _measure_delay(load, requests, tally))
        before, created, begin = tally.events, requests.created, time.perf_counter()
        await load.rate(RATE_WRITERS, seconds, requests.create)
        await tally.until(before + (requests.created - created) * WATCHERS)
        return statistics.median(delays), (tally.events - before) / (tally.last_seconds - begin)


async def _measure_delay(load: Load, requests: Requests, tally: Tally) -> float:
    """Milliseconds from a write to its last receipt; the connection is open before."""
    waiting = [requests.create()]
    transport, writer = await load.connect(lambda: Caller(lambda: waiting.pop() if waiting else None))
    wanted = tally.events + WATCHERS
    begin = time.perf_counter()
    writer.begin()
    await tally.until(wanted)
    milliseconds = (tally.last_seconds - begin) * 1000
    await writer.done
    transport.close()
    return milliseconds


def main() -> None:
    """The load process: host, port, directory of keys, seconds per figure, process id of the control plane."""
    import uvloop

    host, port, pki, seconds, control_pid = sys.argv[1:]
    load = Load(host, int(port), Path(pki))
    print(json.dumps(asdict(uvloop.run(measure(load, float(seconds), int(control_pid))))))


if __name__ == "__main__":
    main()
