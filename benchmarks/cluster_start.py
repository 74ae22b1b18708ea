"""A cluster from nothing: seconds to API ready, Node Ready and the first nginx Ready; then what it costs at rest."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pods import pod_manifest
from control.config import ClusterDirectory

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class BenchmarkCluster:
    """A running cluster in a directory of its own."""

    name: str
    directory: ClusterDirectory
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        """A podling command on this cluster."""
        return [sys.executable, "-m", "control.cli", *arguments, "--name", self.name]

    def podling(self, *arguments: str) -> None:
        """Run it."""
        subprocess.run(self.command(*arguments), env=self.environment, check=True, capture_output=True)


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
    starting = subprocess.Popen(
        cluster.command("up"), env=cluster.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    access = _wait_until_ready(cluster, starting)
    api_ready = time.perf_counter() - begin
    with ThreadPoolExecutor(1) as pool:
        node = pool.submit(lambda: _wait_for_condition(access, "/api/v1/nodes", begin))
        _create(access, pod_manifest("first"))
        pod_seconds = _wait_for_condition(access, "/api/v1/namespaces/default/pods", begin)
        node_seconds = node.result()
    if starting.wait() != 0:
        raise AssertionError("podling up failed")
    return StartFigures(api_ready, node_seconds, pod_seconds)


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the API as the administrator."""

    host: str
    port: int
    context: ssl.SSLContext

    def connect(self) -> http.client.HTTPSConnection:
        """Make a connection of one's own."""
        return http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=60)


def _wait_until_ready(cluster: BenchmarkCluster, starting: subprocess.Popen[bytes]) -> Access:
    """Try /readyz on fresh connections: as long as nothing listens, a try costs next to nothing."""
    access = None
    while starting.poll() in (None, 0):
        config = cluster.directory.load() if cluster.directory.config_file.exists() else None
        if config is not None:
            access = access or Access(config.host, config.port, _client_context(cluster))
            try:
                connection = access.connect()
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return access
            except OSError:
                """Nothing listens yet."""
        time.sleep(0.005)
    raise AssertionError("podling up failed")


def _client_context(cluster: BenchmarkCluster) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(cluster.directory.pki / "ca.crt"))
    context.load_cert_chain(cluster.directory.pki / "admin.crt", cluster.directory.pki / "admin.key")
    return context


def _wait_for_condition(access: Access, path: str, begin: float) -> float:
    """Watch until an object of the collection is Ready; seconds since the beginning."""
    connection = access.connect()
    connection.request("GET", f"{path}?watch=true")
    for line in connection.getresponse():
        conditions = json.loads(line)["object"].get("status", {}).get("conditions", ())
        if any(item["type"] == "Ready" and item["status"] == "True" for item in conditions):
            return time.perf_counter() - begin
    raise AssertionError(f"the watch of {path} ended")


def _create(access: Access, pod: dict[str, Any]) -> None:
    """Create the Pod; again while the namespace has no default ServiceAccount yet, as in any young cluster."""
    connection = access.connect()
    headers = {"Content-Type": "application/json"}
    while True:
        connection.request("POST", "/api/v1/namespaces/default/pods", body=json.dumps(pod), headers=headers)
        response = connection.getresponse()
        response.read()
        if response.status in (201, 409):
            return
        time.sleep(0.01)


@dataclass(frozen=True, slots=True)
class IdleFigures:
    """What all processes of the cluster use together."""

    rss_mb: float
    cpu_seconds_per_minute: float


def measure_idle(cluster: BenchmarkCluster, *, seconds: float) -> IdleFigures:
    """Resident memory, and CPU time over a window, of the supervisor and its processes."""
    pids = process_ids(cluster)
    before = sum(cpu_seconds(pid) for pid in pids)
    time.sleep(seconds)
    used = sum(cpu_seconds(pid) for pid in pids) - before
    return IdleFigures(sum(rss_mb(pid) for pid in pids), used * 60 / seconds)


def process_ids(cluster: BenchmarkCluster) -> list[int]:
    """The supervisor and its processes."""
    supervisor = int((cluster.directory.root / "supervisor.lock").read_text())
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return [supervisor, *(int(child) for child in children)]


def cpu_seconds(pid: int) -> float:
    """CPU time of a process since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
