"""The node under test: the agent's Pod machinery as a process that can be killed, over an engine that outlives it.

Engine, API and probes answer late, wrongly or never when the story says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from agent.pods.gc import GarbageCollector
from agent.pods.pod_files import PodFiles
from agent.pods.probe_attempt import ProbeResult
from agent.runtime.fake_container import ExecOutcome, FakeContainer, Program
from agent.runtime.protocol import ContainerRecord, ImageRecord, RuntimeEvent
from agent.volumes.protocol import MountedVolume
from control.api.exchange import ApiRequest, ApiResponse, User
from control.api.objects import Object, ReadOnlyObject
from control.client.client import Client
from control.client.local_transport import LocalTransport
from control.client.transport import ServerUnavailableError
from tests.fakes.agent_node import FakeNetwork, FakeNetworkFiles, FakeVolumes, PodEndpoint
from tests.fakes.static_pod_node import StaticPodNode
from tests.pod_fuzz.specs import LATE, MOODY, PROGRAMS, PULLED
from tests.simulation.engine import EngineConnection, EngineFaults, SimulatedEngine
from tests.simulation.loop import HostClock, VirtualLoop
from tests.simulation.simulated_process import SimulatedProcess

SignalWatcher = Callable[[ContainerRecord, str], None]


class FuzzEngine(SimulatedEngine):
    """Tells of every signal; a moody image's program is drawn for each container."""

    def __init__(self, loop: VirtualLoop, clock: HostClock, random: Random) -> None:
        super().__init__(loop, "node", clock)
        self.on_signal: SignalWatcher = lambda record, signal: None
        self._random = random
        for reference, program in PROGRAMS.items():
            self.add_image(reference, program=program)
        for reference, program in PULLED.items():
            self.add_registry_image(reference, program=program)
        self.add_image(MOODY)
        self.exec_outcome = lambda record, command: _outcome(command)

    def publish(self) -> None:
        """The image that Pods wait for is in the registry from now on."""
        self.add_registry_image(LATE)

    def _program(self, reference: str, image: ImageRecord) -> Program:
        if reference == MOODY:
            return self._random.choice(list(PROGRAMS.values()))
        return super()._program(reference, image)

    def _signal(self, container: FakeContainer, signal: str) -> None:
        self.on_signal(container.record, signal)
        super()._signal(container, signal)


def _outcome(command: Sequence[str]) -> ExecOutcome:
    return ExecOutcome(exit_code=int(command[0] == "fail"), runs_forever=command[0] == "hang")


class FuzzConnection(EngineConnection):
    """Events may come twice, or not at all."""

    loses_events = False
    doubles_events = False

    def __getattr__(self, name: str) -> Any:
        if name not in ("update_container", "stats"):
            return super().__getattr__(name)

        async def call(*arguments: Any, **options: Any) -> Any:
            return await self._call(name, arguments, options)

        return call

    async def events(self, labels: Mapping[str, str]) -> Any:
        async for event in super().events(labels):
            for copy in self._delivered(event):
                yield copy

    def _delivered(self, event: RuntimeEvent) -> list[RuntimeEvent]:
        if FuzzConnection.loses_events and self._random.random() < 0.5:
            return []
        return [event] * (2 if FuzzConnection.doubles_events else 1)


class FuzzEndpoint(PodEndpoint):
    """The API, at a distance. `on_commit` sees every change, `on_request` every request that arrives."""

    is_down = False

    def __init__(self, random: Random, clock: HostClock) -> None:
        super().__init__(now=clock.now)
        self._random = random
        self.on_commit: Callable[[str, Object | None, Object], None] = lambda event, old, new: None
        self.on_status: Callable[[Object, bool, Any], None] = lambda pod, changed, body: None

    def pods(self) -> list[Object]:
        """All Pods, without a request."""
        return [item for key, item in sorted(self.objects.items()) if key[1] == "pods"]

    async def __call__(self, request: ApiRequest) -> ApiResponse:
        await asyncio.sleep(0.001 + self._random.random() * 0.02)
        if self.is_down:
            raise ServerUnavailableError("connection refused")
        self.requests.clear()
        before = self.revision
        response = await super().__call__(request)
        if request.path.endswith("/status") and response.status == 200 and response.object is not None:
            self.on_status(response.object, self.revision != before, request.body)
        if not dict(request.query).get("watch"):
            await asyncio.sleep(self._random.random() * 0.01)
            if self.is_down:
                raise ServerUnavailableError("connection reset by peer")
        return response

    def _commit(self, event: str, key: tuple[str, str, str, str], obj: Object) -> Object:
        old = self.objects.get(key)
        committed = super()._commit(event, key, obj)
        self.on_commit(event, old, committed)
        return committed

    def _delete(self, key: tuple[str, str, str, str], old: Object, options: Object) -> Object:
        """As the API server: a grace period is only ever shortened, and a deletion is a new generation."""
        metadata = old["metadata"]
        grace = options.get("gracePeriodSeconds", old["spec"].get("terminationGracePeriodSeconds", 30))
        if "deletionTimestamp" in metadata and 0 < grace >= metadata.get("deletionGracePeriodSeconds", 0):
            return old
        if grace and "deletionTimestamp" not in metadata:
            old = {**old, "metadata": {**metadata, "generation": metadata["generation"] + 1}}
        return super()._delete(key, old, options)


class FuzzVolumes(FakeVolumes):
    """Volumes that take a moment, and fail while the story says so."""

    async def mount_all(self, pod: ReadOnlyObject, image_layers: Any) -> Mapping[str, MountedVolume]:
        await asyncio.sleep(0.003)
        return await super().mount_all(pod, image_layers)

    async def unmount_all(self, pod_uid: str) -> None:
        await asyncio.sleep(0.002)
        await super().unmount_all(pod_uid)


class FuzzNetwork(FakeNetwork):
    """A crash may leave a link, which the next sweep takes away."""

    async def collect_garbage(self, used: frozenset[str]) -> None:
        self.ports = {ip: ports for ip, ports in self.ports.items() if ip in used}


class FuzzProbes:
    """Each container and probe has a mood of its own: it passes, fails, or changes its mind."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._moods: dict[tuple[str, str], float] = {}
        self.passed: set[tuple[str, str]] = set()
        self.failed: set[tuple[str, str]] = set()
        self.changes: dict[str, int] = {}
        self._last: dict[tuple[str, str], bool] = {}

    async def probe(
        self, container: ReadOnlyObject, container_id: str, probe: Mapping[str, Any], address: str
    ) -> ProbeResult:
        await asyncio.sleep(self._random.random() * 0.05)
        kind = next(kind for kind in ("readiness", "liveness", "startup") if container.get(f"{kind}Probe") is probe)
        key = (container_id, kind)
        mood = self._moods.setdefault(key, self._random.choice((0.0, 0.0, 0.0, 0.0, 0.2, 0.5, 1.0)))
        if self._random.random() < 0.02:
            return ProbeResult(passed=False, output="no answer", errored=True)
        passed = self._random.random() >= mood
        (self.passed if passed else self.failed).add(key)
        self.changes[container_id] = self.changes.get(container_id, 0) + (self._last.get(key) is not passed)
        self._last[key] = passed
        return ProbeResult(passed=passed, output="" if passed else "refused")


class FuzzNode(StaticPodNode):
    """The node. `boot` starts the agent, `kill` ends it without a word."""

    def __init__(self, directory: Path, loop: VirtualLoop, random: Random) -> None:
        clock = HostClock(loop)
        super().__init__(directory, clock=clock)  # type: ignore[arg-type]
        self.loop = loop
        self.random = random
        self.engine = FuzzEngine(loop, clock, random)
        self.faults = EngineFaults()
        self.api = FuzzEndpoint(random, clock)
        self.client = Client(LocalTransport(self.api, User(name="system:node:node-1")))
        self.volumes = FuzzVolumes()
        self.network = FuzzNetwork()
        self.probes = FuzzProbes(random)  # type: ignore[assignment]
        self.process: SimulatedProcess | None = None
        self.logs = AgentLogs()

    async def settle(self, seconds: float = 0.0) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    def boot(self) -> asyncio.Task[Any]:
        """Start the agent as a process of its own."""
        self.process = SimulatedProcess(self.loop, "agent", place="node")
        return self.process.start(self._live())

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()

    def remembers(self, words: Collection[str]) -> list[str]:
        """Where the agent holds any of the words (UIDs, container ids): paths of attributes and keys."""
        roots = {"workers": self.workers, "cache": self.cache, "cgroups": self.cgroups}
        roots |= {"static": self.static, "mirrors": self.mirrors}
        world = (self.engine, self.api, self.client, self.informer, self.loop, self.random, self.clock, self.runtime)
        return find_words(
            roots, frozenset(words), {id(one) for one in (self, *world, self.volumes, self.probes, self.manifests)}
        )

    async def _live(self) -> None:
        self.runtime = FuzzConnection(self.engine, self.faults, self.random, lambda text: None)  # type: ignore[assignment]
        while True:
            try:
                await self.start()
                break
            except Exception as error:
                logging.getLogger("agent").info("Cannot start error=%s", error)
                await asyncio.sleep(1)
        files = PodFiles(self.directory / "pods", FakeNetworkFiles())
        self.garbage = GarbageCollector(
            cache=self.cache,
            volumes=self.volumes,
            files=files,
            network=self.network,
            cgroups=self.cgroups,
            workers=self.workers,
            sweep_log_links=lambda: None,
            clock=self.clock,
        )
        await self.garbage.run()


def find_words(roots: Mapping[str, Any], words: Collection[str], seen: set[int]) -> list[str]:
    """Walk through objects and containers, but not through what is `seen` already; tasks and functions hold nothing."""
    found = []
    waiting = list(roots.items())
    while waiting:
        path, one = waiting.pop()
        if isinstance(one, str):
            if one in words:
                found.append(path)
            continue
        if id(one) in seen or callable(one) or isinstance(one, asyncio.Future | type):
            continue
        seen.add(id(one))
        if isinstance(one, Mapping):
            waiting += [(f"{path} key", key) for key in one] + [(f"{path}[{key!s:.20}]", one[key]) for key in one]
        elif isinstance(one, list | tuple | set | frozenset | deque):
            waiting += [(f"{path}[]", item) for item in one]
        else:
            names = [*getattr(one, "__dict__", ()), *getattr(type(one), "__slots__", ())]
            waiting += [(f"{path}.{name}", getattr(one, name, None)) for name in names]
    return found


class AgentLogs(logging.Handler):
    """Errors that the agent did not expect: it logs them with their traceback and goes on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.unexpected: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what has a traceback."""
        if record.exc_info:
            text = logging.Formatter().formatException(record.exc_info)
            self.unexpected.append(f"{record.getMessage()}\n{text}")
