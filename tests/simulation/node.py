"""A node: a host with an engine, and the agent that is started there again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from random import Random

from agent.config import AgentConfig, Timings
from agent.network.protocol import NetworkError
from agent.node_agent import NodeAgent
from agent.runtime.protocol import RuntimeFailure
from control.client.client import Client
from control.client.http_transport import HttpTransport
from tests.simulation.engine import PAUSE, EngineConnection, EngineFaults, SimulatedEngine
from tests.simulation.hollow_host import HollowHost
from tests.simulation.loop import HostClock, VirtualLoop
from tests.simulation.simulated_process import SimulatedProcess

logger = logging.getLogger(__name__)

CLUSTER = "simulated"
SERVER_URL = "http://control:6443"
RESTART_SECONDS = 1.0
AgentFactory = Callable[..., NodeAgent]


class SimulatedNode:
    """One node. The host, its engine and its clock outlive the agent."""

    def __init__(
        self,
        name: str,
        *,
        loop: VirtualLoop,
        directory: Path,
        random: Random,
        note: Callable[[str, str], None],
        judged: Callable[[HttpTransport, str], object],
        agent_factory: AgentFactory = NodeAgent,
    ) -> None:
        self.name = name
        self.clock = HostClock(loop)
        self.engine = SimulatedEngine(loop, name, self.clock)
        self.faults = EngineFaults()
        self.host = HollowHost(name, self.engine)
        self.agent: SimulatedProcess | None = None
        self._loop = loop
        self._random = random
        self._note = note
        self._judged = judged
        self._agent_factory = agent_factory
        self._config = AgentConfig(
            cluster=CLUSTER,
            node_name=name,
            state_dir=directory / name,
            timings=Timings(lease_seconds=2.0, status_seconds=300.0),
            pause_image=PAUSE,
        )

    @property
    def is_up(self) -> bool:
        """Whether the agent's process exists."""
        return self.agent is not None and self.agent.is_alive

    def start(self) -> None:
        """Start the agent, which a supervisor starts again whenever it ends by itself."""
        if not self.is_up:
            self.agent = SimulatedProcess(self._loop, f"agent-{self.name}", place=self.name)
            self.agent.start(self._supervise())

    def kill_agent(self) -> None:
        """Kill the agent; the containers run on."""
        if self.agent is not None:
            self.agent.kill()

    def kill(self) -> None:
        """A power cut: agent and containers die."""
        self.kill_agent()
        self.engine.kill_all()

    async def restart_engine(self, seconds: float) -> None:
        """The engine goes with its containers and is back after a while."""
        self.faults.is_down = True
        self.engine.break_events()
        self.engine.kill_all()
        await asyncio.sleep(seconds)
        self.faults.is_down = False

    async def _supervise(self) -> None:
        while True:
            try:
                await self._run_agent()
            except (RuntimeFailure, NetworkError) as error:
                self._note(f"agent-{self.name}", f"ends by itself: {type(error).__name__}: {error}")
            except Exception:
                logger.exception("Agent failed node=%s", self.name)
            await asyncio.sleep(RESTART_SECONDS)

    async def _run_agent(self) -> None:
        connection = EngineConnection(
            self.engine, self.faults, self._random, lambda text: self._note(f"engine-{self.name}", text)
        )
        transport = HttpTransport(SERVER_URL, token=f"token-{self.name}", user_agent="kubelet/v1.36.2")
        client = Client(self._judged(transport, f"agent-{self.name}"))
        try:
            agent = self._agent_factory(
                self._config,
                host=self.host,
                runtime=connection,
                client=client,
                clock=self.clock,
                random=self._random,
                engine=await connection.info(),
            )
            await agent.run(asyncio.Event())
        finally:
            transport._connections.close()
