"""A cluster from nothing: seconds to API ready, Node Ready and the first nginx Ready; then what it costs at rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pods import pod_manifest
from control.cli.api_probe import ApiProbe
from control.config import ClusterDirectory

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class BenchmarkCluster:
    """A running cluster in a directory of its own."""

    name: str
    directory: ClusterDirectory
    environment: dict[str, str]

    def podling(self, *arguments: str) -> None:
        """Run a podling command on this cluster."""
        command = [sys.executable, "-m", "control.cli", *arguments, "--name", self.name]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)


@dataclass(frozen=True, slots=True)
class StartFigures:
    """Seconds from the start of `podling up`."""

    api_ready_s: float
    node_ready_s: float
    first_pod_ready_s: float


@contextmanager
def cluster_place(name: str) -> Iterator[BenchmarkCluster]:
    """A place for a cluster that is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="podling-bench-") as root:
        environment = os.environ | {"PODLING_DATA_DIR": root, "KUBECONFIG": f"{root}/kubeconfig"}
        cluster = BenchmarkCluster(name, ClusterDirectory(Path(root) / "clusters" / name), environment)
        try:
            yield cluster
        finally:
            cluster.podling("delete")


def measure_start(cluster: BenchmarkCluster) -> StartFigures:
    """`podling up` on an empty state with a Pod applied as soon as the API is ready."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "control.cli", "up", "--name", cluster.name]
    starting = subprocess.Popen(command, env=cluster.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    probe = _wait_for_probe(cluster, starting)
    api_ready = time.perf_counter() - begin
    pod = pod_manifest("first")
    created = False
    node_ready = 0.0
    while True:
        if not created:
            created = _create(cluster, pod)
        if not node_ready and "True" in probe.node_conditions().values():
            node_ready = time.perf_counter() - begin
        answer = probe.get("/api/v1/namespaces/default/pods/first")
        conditions = answer[1].get("status", {}).get("conditions", []) if answer and answer[0] == 200 else []
        if any(item["type"] == "Ready" and item["status"] == "True" for item in conditions):
            break
        time.sleep(0.005)
    first_ready = time.perf_counter() - begin
    if starting.wait() != 0:
        raise AssertionError("podling up failed")
    return StartFigures(api_ready, node_ready, first_ready)


def _wait_for_probe(cluster: BenchmarkCluster, starting: subprocess.Popen[bytes]) -> ApiProbe:
    while starting.poll() in (None, 0):
        config = cluster.directory.load()
        if config is not None:
            try:
                probe = ApiProbe(cluster.directory, config)
            except FileNotFoundError:
                continue
            if probe.is_ready():
                return probe
            probe.close()
        time.sleep(0.005)
    raise AssertionError("podling up failed")


def _create(cluster: BenchmarkCluster, pod: dict[str, Any]) -> bool:
    """Create the Pod; False while the namespace has no default ServiceAccount yet, as in any young cluster."""
    import http.client
    import ssl

    config = cluster.directory.load()
    assert config is not None
    context = ssl.create_default_context(cafile=str(cluster.directory.pki / "ca.crt"))
    context.load_cert_chain(cluster.directory.pki / "admin.crt", cluster.directory.pki / "admin.key")
    connection = http.client.HTTPSConnection(config.host, config.port, context=context)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/api/v1/namespaces/default/pods", body=json.dumps(pod), headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status in (201, 409)


@dataclass(frozen=True, slots=True)
class IdleFigures:
    """What all processes of the cluster use together."""

    rss_mb: float
    cpu_seconds_per_minute: float


def measure_idle(cluster: BenchmarkCluster, *, seconds: float) -> IdleFigures:
    """Resident memory, and CPU time over a window, of the supervisor and its processes."""
    pids = _process_ids(cluster)
    before = sum(_cpu_seconds(pid) for pid in pids)
    time.sleep(seconds)
    used = sum(_cpu_seconds(pid) for pid in pids) - before
    return IdleFigures(sum(_rss_mb(pid) for pid in pids), used * 60 / seconds)


def _process_ids(cluster: BenchmarkCluster) -> list[int]:
    supervisor = int((cluster.directory.root / "supervisor.lock").read_text())
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return [supervisor, *(int(child) for child in children)]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
