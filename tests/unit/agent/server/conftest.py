"""One served node for each test that asks for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from agent.node.eviction.pod_usage import ContainerUse, FileUsage, PodUse
from agent.node.host_counters import HostCounters
from agent.node.host_facts import DiskUsage, HostUsage
from agent.pods.container_cache import ContainerCache
from agent.pods.probe_tally import ProbeTally
from agent.pods.start_tally import StartTally
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.identity import container_labels, container_name, sandbox_labels, sandbox_name
from agent.runtime.protocol import EngineInfo
from agent.server.access_reviews import AccessReviews
from agent.server.node_access import NodeAccess
from agent.server.node_server import NodeServer, NodeServerSettings
from agent.usage.claim_disks import ClaimDisk
from agent.usage.container_cgroup import ContainerCgroup
from agent.usage.container_processes import ContainerProcesses
from agent.usage.samples import UsageSource
from agent.usage.written_volumes import WrittenVolume
from control.api.clock import FakeClock, SystemClock
from control.api.objects import ReadOnlyObject
from control.auth.pki import CertificateAuthority, make_ca
from control.client.client import Client
from control.client.transport import Transport
from tests.fakes.agent_node import OWNER, make_pod
from tests.own_ports import own_port
from tests.unit.agent.server.served_node import LoopbackDialer, ReviewingApi, ServedNode

DISK = DiskUsage(capacity_bytes=1 << 40, available_bytes=1 << 39)
CLAIM_DISK = ClaimDisk(
    volume_name="v",
    claim_name="shop-data",
    disk=DiskUsage(capacity_bytes=100, available_bytes=70, inodes=10, inodes_free=4),
)
CGROUP = ContainerCgroup(path="/kubepods/poduid-of-web/c", process_ids=(1, 2), threads=3, swap_limit_bytes=64)


async def measure_files(pods: Sequence[ReadOnlyObject]) -> dict[str, PodUse]:
    """Every Pod has a layer of 1000 bytes, 30 bytes of log and a volume of 4."""
    layer, volume = FileUsage(used_bytes=1000, inodes=5), FileUsage(used_bytes=4, inodes=1)
    use = ContainerUse(files=layer.plus(FileUsage(used_bytes=30, inodes=1)), layer=layer)
    return {pod["metadata"]["uid"]: PodUse(containers={"web": use}, volumes={"data": volume}) for pod in pods}


def usage_source(engine: EngineInfo) -> UsageSource:
    """A node that has used little."""
    return UsageSource(
        node_name="node-1",
        engine=engine,
        read_counters=lambda: HostCounters(cpu_nanoseconds=5 * 10**9, started_at=1.7e9),
        read_free=lambda: HostUsage(node_disk=DISK, image_disk=DISK),
        read_interfaces=lambda pid: [],
        measure_files=measure_files,
        read_claims=lambda pod: [CLAIM_DISK],
        read_written=lambda pod: [WrittenVolume(name="token", disk=DISK, files=FileUsage(used_bytes=8, inodes=3))],
        read_cgroup=lambda pid: CGROUP,
        read_processes=lambda first, pids: ContainerProcesses(open_files=4, sockets=1, open_files_max=1024),
    )


@pytest.fixture
def port() -> Iterator[int]:
    """Where the node serves."""
    with own_port() as chosen:
        yield chosen


@pytest_asyncio.fixture
async def node(tmp_path: Path, port: int) -> AsyncIterator[ServedNode]:
    authority = CertificateAuthority(make_ca("test", now=datetime.now(UTC)))
    serving = authority.issue_serving("node", ["127.0.0.1"], now=datetime.now(UTC))
    for name, content in (
        ("ca.crt", authority.certificate_pem),
        ("serving.crt", serving.certificate_pem),
        ("serving.key", serving.key_pem),
    ):
        (tmp_path / name).write_bytes(content)
    runtime = FakeRuntime(FakeClock())
    runtime.add_image("web:1")
    pod = make_pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "shop-data"}}])
    labels = container_labels(OWNER, pod, pod["spec"]["containers"][0], attempt=0, sandbox_id="sandbox")
    container_id = await runtime.create_container(
        container_name(pod, "web", 0), {"Image": "web:1", "Labels": labels, "HostConfig": {}}
    )
    sandbox_id = await runtime.create_container(
        sandbox_name(pod, 0), {"Image": "web:1", "Labels": sandbox_labels(OWNER, pod, attempt=0), "HostConfig": {}}
    )
    for created in (sandbox_id, container_id):
        await runtime.start_container(created)
    cache = ContainerCache(runtime, OWNER, runtime.clock)
    await cache.relist()
    dialer, api, probes = LoopbackDialer(), ReviewingApi(), ProbeTally()
    reviews = AccessReviews(Client(cast(Transport, api)), runtime.clock, node_name="node-1")
    server = NodeServer(
        runtime=runtime,
        cache=cache,
        pods=lambda: [pod],
        settings=NodeServerSettings(
            addresses=("127.0.0.1",),
            port=port,
            tls_cert=tmp_path / "serving.crt",
            tls_key=tmp_path / "serving.key",
            client_ca_pem=authority.certificate_pem.decode(),
            node_name="node-1",
        ),
        access=NodeAccess(reviews),
        clock=SystemClock(),
        dialer=dialer,
        volume_root=tmp_path / "persistent",
        usage=usage_source(await runtime.info()),
        probes=probes,
        starts=StartTally(pods=3, containers=Counter({"container": 2})),
        configuration={"kind": "KubeletConfiguration", "maxPods": 110},
    )
    stop = asyncio.Event()
    running = asyncio.ensure_future(server.run(stop))
    while not running.done():
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0)
        else:
            writer.close()
            break
    url = f"https://127.0.0.1:{port}"
    yield ServedNode(url, runtime, container_id, pod, tmp_path, authority, sandbox_id, dialer, cache, probes, api)
    stop.set()
    await running
