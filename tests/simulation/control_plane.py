"""The control plane as `control/main.py` and `own_parts.py` compose it, in a process that can be killed and started."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from control.api.exchange import ApiEndpoint, User
from control.apiserver.app import ApiServer, ApiServerConfig
from control.apiserver.serving import serve
from control.client.client import Client
from control.client.local_transport import LocalTransport
from control.controllers import CONTROLLERS
from control.controllers.context import ControllerOptions, Factory, local_context, run_controllers
from control.scheduler.scheduler import Scheduler
from tests.simulation.disk import Disk
from tests.simulation.loop import HostClock, VirtualLoop
from tests.simulation.simulated_process import SimulatedProcess

PLACE = "control"
SCHEDULER_USER = User(name="system:kube-scheduler", groups=("system:authenticated",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a control plane is built from. A test of the simulator itself puts a broken part here."""

    controllers: Mapping[str, Factory] = field(default_factory=lambda: CONTROLLERS)
    scheduler: Callable[..., Scheduler] = Scheduler
    api_server: Callable[..., ApiServer] = ApiServer


class SimulatedControlPlane:
    """Kill it and start it: what it had acknowledged is on the disk."""

    def __init__(
        self,
        *,
        loop: VirtualLoop,
        disk: Disk,
        random: Random,
        tokens: Mapping[str, User],
        judged: Callable[[ApiEndpoint, str], ApiEndpoint],
        parts: Parts,
    ) -> None:
        self.clock = HostClock(loop)
        self.process: SimulatedProcess | None = None
        self._loop = loop
        self._disk = disk
        self._random = random
        self._tokens = tokens
        self._judged = judged
        self._parts = parts

    @property
    def is_up(self) -> bool:
        """Whether the process exists."""
        return self.process is not None and self.process.is_alive

    def start(self) -> None:
        """Start it, unless it runs."""
        if not self.is_up:
            self.process = SimulatedProcess(self._loop, "control", place=PLACE)
            self.process.start(self._run(self.process))

    def kill(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()

    async def _run(self, process: SimulatedProcess) -> None:
        clock, random, stop = self.clock, self._random, asyncio.Event()
        server = self._parts.api_server(
            config=ApiServerConfig(static_tokens=self._tokens),
            storage=self._disk.open(process),
            random=random,
            clock=clock,
        )
        await server.start()
        await serve(server.endpoint, host=PLACE, port=6443, ssl_context=None)
        endpoint = self._judged(server.endpoint, "control")
        context = local_context(endpoint, clock=clock, random=random, options=ControllerOptions())
        scheduler = self._parts.scheduler(
            Client(LocalTransport(endpoint, SCHEDULER_USER, user_agent="kube-scheduler")),
            clock=clock,
            random=random,
            informers=context.informers,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(run_controllers(context, self._parts.controllers, stop))
            group.create_task(scheduler.run(stop))
