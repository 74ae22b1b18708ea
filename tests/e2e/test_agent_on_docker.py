"""One agent on a real Docker Engine with an API in memory: what a node promises, without a control plane."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from agent.cleanup import Leftovers, clean_up
from agent.config import PROFILES, AgentConfig
from agent.engine_check import check_engine
from agent.host import LinuxHost
from agent.node_agent import NodeAgent
from agent.runtime.docker_runtime import DockerRuntime
from agent.runtime.identity import CLUSTER_LABEL, NODE_LABEL
from agent.runtime.protocol import ContainerRecord, ContainerState
from control.api.builtin_kinds import NODES, PODS
from control.api.clock import SystemClock
from control.api.exchange import User
from control.api.objects import Object
from control.client.client import Client
from control.client.local_transport import LocalTransport
from tests.fakes.agent_node import PodEndpoint, make_pod
from tests.fakes.docker_images import ensure_busybox_image

pytestmark = pytest.mark.docker

DEADLINE_SECONDS = 120.0


class RealNode:
    """An agent in this process, on the machine's engine, in a Pod range of its own."""

    def __init__(self, directory: Path, third_octet: int) -> None:
        self.cluster = f"test-{uuid.uuid4().hex[:8]}"
        self.image = ensure_busybox_image()
        self.runtime = DockerRuntime()
        self.clock = SystemClock()
        self.api = PodEndpoint(now=self.clock.now)
        self.client = Client(LocalTransport(self.api, User(name="system:node:node-1")))
        self.config = AgentConfig(
            cluster=self.cluster,
            node_name="node-1",
            state_dir=directory / "state",
            timings=PROFILES["default"],
            cluster_cidr=f"10.199.{third_octet}.0/24",
            pod_cidr=f"10.199.{third_octet}.0/24",
        )
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._stop = asyncio.Event()
        self.config.state_dir.mkdir(exist_ok=True)  # the process's lock makes it, and there is no process here
        engine = await check_engine(self.runtime)
        self.agent = NodeAgent(
            self.config,
            host=LinuxHost(self.config),
            runtime=self.runtime,
            client=self.client,
            clock=self.clock,
            random=Random(1),
            engine=engine,
        )
        self._task = asyncio.ensure_future(self.agent.run(self._stop))
        await self.until(self.is_ready)

    async def stop(self) -> None:
        self._stop.set()
        if self._task is not None:
            await self._task

    async def is_ready(self) -> bool:
        assert self._task is not None
        if self._task.done():
            self._task.result()
        node = await self.client.find(NODES, "node-1")
        conditions = ((node or {}).get("status") or {}).get("conditions") or []
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (value := await condition()):
            if time.monotonic() > deadline:
                pod = await self.client.find(PODS, "web", namespace="default")
                raise AssertionError(f"not in time: {pod}")
            await asyncio.sleep(0.01)
        return value

    async def create(self, name: str = "web", *, command: str = "sleep 1000 & wait", **spec: Any) -> None:
        script = f"trap 'exit 0' TERM; {command}"
        container = {
            "name": "web",
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", script],
        }
        pod = make_pod(name, **{"containers": [container], **spec})
        pod["metadata"]["uid"] = str(uuid.uuid4())
        await self.client.create(PODS, pod)

    async def status(self, name: str = "web") -> Object:
        pod = await self.client.find(PODS, name, namespace="default")
        return dict((pod or {}).get("status") or {})

    async def is_running(self, name: str = "web") -> bool:
        status = await self.status(name)
        return status.get("phase") == "Running" and all(item["ready"] for item in status["containerStatuses"])

    async def is_gone(self, name: str = "web") -> bool:
        return await self.client.find(PODS, name, namespace="default") is None

    async def containers(self) -> list[ContainerRecord]:
        return await self.runtime.list_containers({CLUSTER_LABEL: self.cluster, NODE_LABEL: "node-1"})

    async def running(self, name: str) -> list[ContainerRecord]:
        return [
            record
            for record in await self.containers()
            if record.state is ContainerState.RUNNING and record.name.startswith(f"k8s_{name}_")
        ]

    async def restarted(self, count: int) -> bool:
        status = await self.status()
        return await self.is_running() and status["containerStatuses"][0]["restartCount"] == count


@pytest_asyncio.fixture
async def node(tmp_path: Path, worker_id: str = "master") -> AsyncIterator[RealNode]:
    real = RealNode(tmp_path, third_octet=uuid.uuid4().int % 200)
    try:
        await real.start()
        yield real
    finally:
        await real.stop()
        await clean_up(Leftovers(cluster=real.cluster, state_dir=tmp_path))
        assert await real.containers() == []
        await real.runtime.close()


async def test_containers_join_the_sandbox_and_the_pod_has_an_address(node: RealNode) -> None:
    await node.create()
    await node.until(node.is_running)
    (pause,) = await node.running("POD")
    (web,) = await node.running("web")
    for namespace in ("net", "ipc", "pid"):
        assert os.readlink(f"/proc/{pause.pid}/ns/{namespace}") == os.readlink(f"/proc/{web.pid}/ns/{namespace}")
    assert os.readlink(f"/proc/{pause.pid}/ns/net") != os.readlink("/proc/self/ns/net")
    result = await node.runtime.run_exec(web.id, ["ip", "-4", "addr", "show", "eth0"], timeout_seconds=60)
    assert (await node.status())["podIP"] in result.output.decode()


async def test_a_killed_process_is_restarted_at_once(node: RealNode) -> None:
    await node.create()
    await node.until(node.is_running)
    (web,) = await node.running("web")
    os.kill(web.pid, signal.SIGKILL)
    await node.until(lambda: node.restarted(1))
    last = (await node.status())["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (137, "Error")


async def test_a_killed_sandbox_is_replaced_with_its_containers(node: RealNode) -> None:
    await node.create()
    await node.until(node.is_running)
    (pause,) = await node.running("POD")
    os.kill(pause.pid, signal.SIGKILL)
    await node.until(lambda: node.restarted(1))
    (new,) = await node.running("POD")
    assert new.name.endswith("_1")


async def test_a_pod_whose_containers_were_removed_by_hand_is_rebuilt(node: RealNode) -> None:
    await node.create()
    await node.until(node.is_running)
    removed = await node.containers()
    for record in removed:
        await node.runtime.remove_container(record.id)

    async def rebuilt() -> bool:
        """The agent may have begun anew between the removals."""
        status = await node.status()
        return await node.is_running() and status["containerStatuses"][0]["restartCount"] >= 1

    await node.until(rebuilt)
    assert not {record.id for record in removed} & {record.id for record in await node.containers()}


async def test_deletion_is_graceful_and_leaves_nothing(node: RealNode) -> None:
    # Longer than anybody waits here: the program obeys SIGTERM.
    await node.create(terminationGracePeriodSeconds=3600)
    await node.until(node.is_running)
    await node.client.delete(PODS, "web", namespace="default")
    await node.until(node.is_gone)

    async def nothing_left() -> bool:
        return not await node.containers() and not list((node.config.state_dir / "pods").iterdir())

    await node.until(nothing_left)


async def test_a_restarted_agent_adopts_its_pods(node: RealNode) -> None:
    await node.create()
    await node.until(node.is_running)
    before = {(record.id, record.pid) for record in await node.containers()}
    await node.stop()
    await node.start()
    await node.create("other")
    await node.until(lambda: node.is_running("other"))
    assert before <= {(record.id, record.pid) for record in await node.containers()}


async def test_an_exit_leaves_its_message_and_code(node: RealNode) -> None:
    await node.create(command="echo finished > /dev/termination-log; exit 3", restartPolicy="Never")

    async def failed() -> bool:
        return (await node.status()).get("phase") == "Failed"

    await node.until(failed)
    terminated = (await node.status())["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["exitCode"], terminated["message"]) == (3, "finished\n")


async def test_a_readiness_probe_over_http_makes_the_pod_ready(node: RealNode) -> None:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    container = {
        "name": "web",
        "image": node.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "mkdir /www && echo hello > /www/index.html && exec httpd -f -p 8080 -h /www"],
        "readinessProbe": probe,
    }
    await node.create(containers=[container])
    await node.until(node.is_running)
