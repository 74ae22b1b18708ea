"""One natively wired node per test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from agent.network.native import NativeNetwork
from agent.runtime.docker_runtime import DockerRuntime
from tests.contract.network.native_host import CLUSTER_CIDR, NODE_CIDR, Host
from tests.fakes.docker_images import ensure_busybox_image, ensure_pause_image


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    ensure_busybox_image()
    ensure_pause_image()
    cluster = f"t{uuid.uuid4().hex[:8]}"
    runtime = DockerRuntime()
    network = NativeNetwork(cluster=cluster, cluster_cidr=CLUSTER_CIDR, ports_on_loopback=True)
    made = Host(runtime, network, cluster)
    made.node_ip = await network.prepare_node(NODE_CIDR)
    try:
        yield made
    finally:
        for record in await runtime.list_containers(made.labels):
            await runtime.remove_container(record.id)
        for one in {network, made.network}:
            await one.remove_node()
        await runtime.close()
