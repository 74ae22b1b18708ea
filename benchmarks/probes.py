"""What the probes of many idle Pods cost the agent: its own prober against a server in another process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime
from random import Random
from typing import Any

from agent.pods.observed import ObservedContainer, ObservedPod, ObservedSandbox
from agent.pods.pod_record import PodRecord
from agent.pods.probe_attempt import NetworkProbeAttempt
from agent.pods.probes import ProbeRunner
from agent.runtime.docker_runtime import DockerRuntime
from agent.runtime.protocol import ContainerRecord, ContainerState
from benchmarks.figures import Figure, limit_row
from control.api.clock import SystemClock

PODS = 100
PERIOD_SECONDS = 10  # the default of Kubernetes
WARM_UP_SECONDS = 2.0
SERVER = """
import asyncio
async def answer(reader, writer):
    try:
        await reader.readuntil(b"\\r\\n\\r\\n")
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    writer.close()
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def measure_probes(*, seconds: float) -> list[Figure]:
    """CPU of the prober with a readiness and a liveness probe over HTTP in each Pod."""
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        share = asyncio.run(_measure_share(port, max(seconds, PERIOD_SECONDS)))
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()
    return [limit_row(f"{PODS} idle Pods with two HTTP probes: CPU", "% of a core", share * 100, 3)]


async def _measure_share(port: int, seconds: float) -> float:
    runtime = DockerRuntime()
    runner = ProbeRunner(
        NetworkProbeAttempt(runtime),
        clock=SystemClock(),
        random=Random(0),
        record=lambda *args, **fields: None,
        host_ip=lambda: "127.0.0.1",
    )
    for number in range(PODS):
        pod = _pod(number, port)
        runner.sync(PodRecord(uid=pod["metadata"]["uid"], pod=pod, wake=lambda: None), _observed(number))
    try:
        await asyncio.sleep(WARM_UP_SECONDS)
        begin, used = time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        ready = sum(bool(verdicts.readiness) for verdicts in runner.verdicts.values())
        assert ready == PODS, f"{ready} of {PODS} Pods are ready"
        return (time.process_time() - used) / (time.perf_counter() - begin)
    finally:
        await runner.close()
        await runtime.close()


def _pod(number: int, port: int) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/", "port": port}, "periodSeconds": PERIOD_SECONDS, "timeoutSeconds": 1}
    container = {"name": "web", "image": "web", "readinessProbe": probe, "livenessProbe": probe}
    metadata = {"namespace": "default", "name": f"web-{number}", "uid": str(number)}
    return {"metadata": metadata, "spec": {"containers": [container]}}


def _observed(number: int) -> ObservedPod:
    now = datetime.now(UTC)

    def record(name: str) -> ContainerRecord:
        return ContainerRecord(
            id=f"{name}-{number}",
            name=name,
            labels={},
            state=ContainerState.RUNNING,
            image="web",
            image_id="",
            created_at=now,
            started_at=now,
        )

    container = ObservedContainer(record=record("web"), name="web", attempt=0)
    return ObservedPod(
        sandboxes=(ObservedSandbox(record=record("POD"), attempt=0, ip="127.0.0.1"),), containers={"web": (container,)}
    )
