"""The engine of one host: the fake engine in a process of its own, and the unreliable way to it.

An engine carries a call out even if whoever made it has died. The caller may get no answer before the effect, after
it, or ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from random import Random
from typing import Any

from agent.runtime.fake_container import FakeContainer, Program
from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.protocol import ContainerRecord, ContainerState, EngineUnavailableError, RuntimeEvent
from tests.simulation.loop import VirtualLoop
from tests.simulation.simulated_process import SimulatedProcess, end_if_dead

PAUSE = "podling/pause:1"
#: What the programs of the images do.
PROGRAMS: Mapping[str, Program] = {
    "web:1": Program(),
    "web:2": Program(),
    "web:3": Program(ignores_sigterm=True),
    "task:1": Program(runs_seconds=3.0),
    "failing:1": Program(runs_seconds=1.0, exit_code=1),
}
PULLED = ("web:3", "task:1")

VERBS = frozenset(
    (
        *("info", "list_containers", "inspect_container", "create_container", "start_container", "stop_container"),
        *("kill_container", "remove_container", "find_image", "list_images", "pull_image", "run_exec"),
        *("images_in_use", "remove_image", "find_volume", "list_volumes", "remove_volume"),
    )
)

Watcher = Callable[[str, ContainerRecord], None]


class SimulatedEngine(FakeRuntime):
    """The fake engine, which tells `watcher` of every event and every signal at once, and which can be restarted."""

    def __init__(self, loop: VirtualLoop, place: str, clock: Any) -> None:
        super().__init__(clock)
        self.process = SimulatedProcess(loop, f"engine-{place}", place=place)
        self.watcher: Watcher = lambda action, record: None
        self.add_image(PAUSE)
        for reference, program in PROGRAMS.items():
            add = self.add_registry_image if reference in PULLED else self.add_image
            add(reference, program=program)

    def running(self) -> list[ContainerRecord]:
        """The containers that run."""
        return [record for record in self.records() if record.state is ContainerState.RUNNING]

    def records(self) -> list[ContainerRecord]:
        """All containers, without a call."""
        return [container.record for container in self._containers.values()]

    def kill_all(self) -> None:
        """All containers die at once, as in a power cut."""
        for record in self.running():
            if record.id in self._containers:
                self.exit_container(record.id, exit_code=137)

    def _emit(self, action: str, record: ContainerRecord) -> None:
        self.watcher(action, record)
        super()._emit(action, record)

    def _signal(self, container: FakeContainer, signal: str) -> None:
        if container.record.state is ContainerState.RUNNING:
            self.watcher("kill", container.record)
        super()._signal(container, signal)

    def _schedule_exit(self, container: FakeContainer) -> None:
        async def end() -> None:
            program = container.program
            await asyncio.sleep(program.runs_seconds or 0)
            self._exit(container, program.exit_code, program.oom_killed)

        self.process.start(end())


class EngineFaults:
    """What is wrong between an agent and its engine."""

    def __init__(self) -> None:
        self.is_down = False
        self.error_rate = 0.0
        self.hung: asyncio.Future[None] | None = None

    def hang(self, loop: VirtualLoop) -> None:
        """Answer nothing until `resume`."""
        self.hung = self.hung or loop.create_future()

    def resume(self) -> None:
        """Answer again."""
        hung, self.hung = self.hung, None
        if hung is not None and not hung.done():
            hung.set_result(None)


class EngineConnection:
    """Implements `Runtime` for one agent process."""

    def __init__(
        self, engine: SimulatedEngine, faults: EngineFaults, random: Random, note: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._faults = faults
        self._random = random
        self._note = note
        self._process = SimulatedProcess.of()

    def __getattr__(self, name: str) -> Any:
        if name not in VERBS:
            raise AttributeError(name)

        async def call(*arguments: Any, **options: Any) -> Any:
            return await self._call(name, arguments, options)

        return call

    async def events(self, labels: Mapping[str, str]) -> AsyncIterator[RuntimeEvent]:
        """The engine's events, each a little late."""
        await end_if_dead(self._process)
        self._refuse_if_down("events")
        async for event in self._engine.events(labels):
            await self._travel()
            yield event

    async def image_events(self) -> AsyncIterator[str]:
        """What happens to images."""
        await end_if_dead(self._process)
        self._refuse_if_down("image_events")
        async for action in self._engine.image_events():
            await self._travel()
            yield action

    async def close(self) -> None:
        """Nothing is held."""

    async def _call(self, verb: str, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        await self._travel()
        self._refuse_if_down(verb)
        if self._fails():
            self._note(f"{verb} fails before its effect")
            raise EngineUnavailableError(f"cannot {verb}: connection refused")
        doing = self._engine.process.start(getattr(self._engine, verb)(*arguments, **options))
        doing.add_done_callback(_retrieve)
        subject = str(arguments[0])[:60] if arguments and isinstance(arguments[0], str) else ""
        self._note(f"{verb} {subject}")
        result = await asyncio.shield(doing)
        await self._travel()
        if self._fails():
            self._note(f"{verb} fails after its effect")
            raise EngineUnavailableError(f"cannot {verb}: connection reset by peer")
        return result

    async def _travel(self) -> None:
        await end_if_dead(self._process)
        await asyncio.sleep(0.0005 + self._random.random() * 0.02)
        while self._faults.hung is not None:
            await asyncio.shield(self._faults.hung)
        await end_if_dead(self._process)

    def _refuse_if_down(self, verb: str) -> None:
        if self._faults.is_down:
            raise EngineUnavailableError(f"cannot {verb}: the engine is not running")

    def _fails(self) -> bool:
        return self._random.random() < self._faults.error_rate


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Whoever waited may be gone: an error that nobody sees is none."""
    if not task.cancelled():
        task.exception()
