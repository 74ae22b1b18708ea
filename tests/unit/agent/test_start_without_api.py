"""An agent whose API server is away when it starts: static Pods run, and all is reported once the API is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.config import PROFILES, AgentConfig
from agent.node_agent import API_SECONDS_MAX, NodeAgent
from agent.pod_parts import PodParts
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.protocol import ContainerRecord, ContainerState
from control.api.builtin_kinds import NODES, PODS
from control.api.clock import FakeClock
from control.api.exchange import ApiRequest, ApiResponse, User
from control.client.client import Client
from control.client.local_transport import LocalTransport
from control.client.transport import ServerUnavailableError
from tests.fakes.agent_node import PAUSE, PodEndpoint
from tests.simulation.hollow_host import HollowHost

MANIFEST = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: 'web:1'}]}\n"


class Engine(FakeRuntime):
    """A fake engine that a hollow host can look at."""

    def running(self) -> list[ContainerRecord]:
        records = [container.record for container in self._containers.values()]
        return [record for record in records if record.state is ContainerState.RUNNING]


class SilentAgent(NodeAgent):
    """An agent without a node API: there is no network to serve it on."""

    async def _serve(self, parts: PodParts) -> None:
        return None


class LostNode:
    """An agent on a hollow host, and an API that may be away."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.engine = Engine(self.clock)
        self.engine.add_image(PAUSE)
        self.engine.add_image("web:1")
        self.api = PodEndpoint(now=self.clock.now)
        self.is_away = True
        self.config = AgentConfig(
            cluster="test",
            node_name="node-1",
            state_dir=directory,
            timings=PROFILES["default"],
            pause_image=PAUSE,
            pod_manifest_path=directory / "manifests",
        )
        (directory / "manifests").mkdir()
        (directory / "manifests" / "web.yaml").write_text(MANIFEST)
        self.client = Client(LocalTransport(self._endpoint, User(name="system:node:node-1")))

    async def _endpoint(self, request: ApiRequest) -> ApiResponse:
        if self.is_away:
            raise ServerUnavailableError("refused")
        return await self.api(request)

    async def run(self, stop: asyncio.Event) -> None:
        agent = SilentAgent(
            self.config,
            host=HollowHost("node-1", self.engine),  # type: ignore[arg-type]
            runtime=self.engine,
            client=self.client,
            clock=self.clock,
            random=Random(1),
            engine=await self.engine.info(),
        )
        await agent.run(stop)

    async def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds * 4)):
            await self.clock.advance(0.25)
            for turn in range(80):
                await asyncio.sleep(0)
                if turn % 20 == 0:
                    await asyncio.to_thread(lambda: None)

    def running(self) -> list[str]:
        return sorted(record.name.split("_")[1] for record in self.engine.running())


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[LostNode]:
    # One thread: whoever waits for it has waited for all that was begun before.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    made = LostNode(tmp_path)
    stop = asyncio.Event()
    task = asyncio.ensure_future(made.run(stop))
    yield made
    stop.set()
    await asyncio.gather(task, return_exceptions=True)


def remember(node: LostNode, pod_range: str) -> None:
    (node.config.state_dir / "pod-range").write_text(pod_range)


async def register_range(node: LostNode, pod_range: str) -> Any:
    """What the controller of Pod ranges does."""
    return await node.client.patch(NODES, "node-1", {"spec": {"podCIDR": pod_range}})


async def test_static_pods_run_with_the_pod_range_of_the_last_time(node: LostNode) -> None:
    remember(node, "10.9.0.0/24")
    await node.pass_time(API_SECONDS_MAX - 1)
    assert node.running() == []
    await node.pass_time(3)
    assert node.running() == ["POD", "web"]
    node.is_away = False
    await node.pass_time(5)
    await register_range(node, "10.9.0.0/24")
    await node.pass_time(5)
    mirror = await node.client.get(PODS, "web-node-1", namespace="default")
    assert mirror["status"]["phase"] == "Running"
    assert node.running() == ["POD", "web"]


async def test_without_a_known_range_they_wait_for_the_api(node: LostNode) -> None:
    await node.pass_time(API_SECONDS_MAX + 3)
    assert node.running() == []
    node.is_away = False
    await node.pass_time(5)
    await register_range(node, "10.9.0.0/24")
    await node.pass_time(3)
    assert node.running() == ["POD", "web"]
    assert (node.config.state_dir / "pod-range").read_text() == "10.9.0.0/24"
