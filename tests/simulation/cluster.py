"""`SimulatedCluster`: the programs, the world around them, and everybody who watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TextIO

from agent.node_agent import NodeAgent
from control.api import exchange
from control.api.builtin_kinds import NODES, SERVICE_ACCOUNTS
from control.client.client import Client
from control.client.http_transport import HttpTransport
from control.storage.memory import MemoryStorage
from tests.simulation.client_properties import ClientProperties, JudgedTransport, judged_endpoint
from tests.simulation.control_plane import Parts, SimulatedControlPlane
from tests.simulation.disk import Disk
from tests.simulation.first_objects import fill
from tests.simulation.history import History
from tests.simulation.judge import Judge
from tests.simulation.loop import HostClock, VirtualLoop
from tests.simulation.network import Network
from tests.simulation.node import SERVER_URL, SimulatedNode
from tests.simulation.pod_properties import PodProperties
from tests.simulation.trace import Trace
from tests.simulation.user import User
from tests.simulation.workload_properties import WorkloadProperties

NODES_EVER_MAX = 12
#: Every so many seeds a cluster is started for the first time.
EMPTY_DISK_EVERY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Sabotage:
    """Broken parts, with which a test shows that the simulator notices."""

    parts: Parts = field(default_factory=Parts)
    agent: Callable[..., NodeAgent] = NodeAgent


class SimulatedCluster:
    """Build it inside the loop; `start` it; let things happen; `stop` it."""

    def __init__(
        self,
        loop: VirtualLoop,
        *,
        seed: int,
        directory: Path,
        output: TextIO | None = None,
        sabotage: Sabotage | None = None,
    ) -> None:
        sabotage = sabotage or Sabotage()
        self.loop = loop
        self.random = Random(f"{seed}/faults")
        self.trace = Trace(loop.time, output)
        self.judge = Judge(self.trace)
        self.network = Network(loop, Random(f"{seed}/network"))
        storage = MemoryStorage(clock=HostClock(loop))
        self.history = History(storage)
        if seed % EMPTY_DISK_EVERY:
            fill(storage)
        self.disk = Disk(storage, Random(f"{seed}/disk"))
        self.nodes: dict[str, SimulatedNode] = {}
        self.clients = ClientProperties(self.history, self.judge, self.trace)
        self.engines = {}
        self.pods = PodProperties(self.history, self.judge, self.trace, self.engines)
        self.workloads = WorkloadProperties(self.history, self.judge)
        self.control = SimulatedControlPlane(
            loop=loop,
            disk=self.disk,
            random=Random(f"{seed}/control"),
            tokens=_tokens(),
            judged=lambda endpoint, client: judged_endpoint(endpoint, client, self.clients, self.network.delay),
            parts=sabotage.parts,
        )
        self.user = User(self._client("user"), Random(f"{seed}/user"), self.judge)
        self.counter = self.counted = 0
        self._seed = seed
        self._directory = directory
        self._agent_factory = sabotage.agent
        self._made = 0

    async def start(self, *, nodes: int) -> None:
        """Start everything; returns when Pods can be created."""
        self.control.start()
        for _ in range(nodes):
            self.add_node()
        while "default" not in await self.user.names(SERVICE_ACCOUNTS):  # noqa: ASYNC110 - as a user waits
            await asyncio.sleep(0.5)

    def stop(self) -> None:
        """Kill everything."""
        self.control.kill()
        for node in self.nodes.values():
            node.kill()
            node.engine.process.kill()

    # --- nodes --------------------------------------------------------------------------------------------------------

    def add_node(self) -> None:
        """A host that was not there before; names are not used twice."""
        if self._made == NODES_EVER_MAX:
            return
        self._made += 1
        name = f"node-{self._made}"
        node = SimulatedNode(
            name,
            loop=self.loop,
            directory=self._directory,
            random=Random(f"{self._seed}/{name}"),
            note=self.trace.write,
            judged=lambda transport, client: JudgedTransport(transport, client, self.clients),
            agent_factory=self._agent_factory,
        )
        self.nodes[name] = node
        self.engines[name] = node.engine
        self.pods.attach(name, node.engine)
        node.start()

    def start_node(self, node: SimulatedNode) -> None:
        """Start a node's agent again, unless the node was removed meanwhile."""
        if node.name in self.nodes:
            node.start()

    async def remove_node(self, name: str) -> None:
        """Power a node off for good and delete its object."""
        node = self.nodes.pop(name)
        node.kill()
        while await self.user.delete(NODES, name) is not None or name in await self.user.names(NODES):  # noqa: ASYNC110
            await asyncio.sleep(0.5)

    def choose_node(self) -> SimulatedNode:
        """One that exists."""
        return self.nodes[self.random.choice(sorted(self.nodes))]

    def _client(self, name: str) -> Client:
        transport = HttpTransport(SERVER_URL, token=f"token-{name}", user_agent="kubectl")
        return Client(JudgedTransport(transport, name, self.clients))


def _tokens() -> dict[str, exchange.User]:
    users = {"token-user": exchange.User(name="admin", groups=("system:masters", "system:authenticated"))}
    for number in range(1, NODES_EVER_MAX + 1):
        name = f"node-{number}"
        groups = ("system:nodes", "system:authenticated")
        users[f"token-{name}"] = exchange.User(name=f"system:node:{name}", groups=groups)
    return users
