"""An engine in memory: for tests, the simulation and hollow nodes. Held to the real one by tests/contract/runtime.

Stateful, on an injected clock, single-threaded. A container runs until its program ends (`Program`), it is signalled,
or the container whose PID namespace it joined stops, as on a real kernel. `trace` records every call; `inject_error`
makes the next calls of a verb fail, before or after they took effect.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.runtime.exec_result import collect_output
from agent.runtime.fake_container import (
    EXIT_CODE_OF_SIGNAL,
    FIRST_PID,
    Call,
    ExecOutcome,
    FakeContainer,
    InjectedError,
    Program,
    fake_info,
    joined_ids,
    matches,
    raise_late,
    user_of,
)
from agent.runtime.fake_event_feed import FakeEventFeed
from agent.runtime.fake_images import FakeImages
from agent.runtime.fake_stream import FakeStream
from agent.runtime.fake_volumes import FakeVolumes
from agent.runtime.protocol import (
    ContainerNotFoundError,
    ContainerRecord,
    ContainerState,
    CreateBody,
    EngineInfo,
    ExecResult,
    ImageNotFoundError,
    NameConflictError,
    RuntimeEvent,
    RuntimeFailure,
)
from agent.runtime.volume_records import VolumeRecord
from control.api.clock import Clock

__all__ = ["Call", "ExecOutcome", "FakeRuntime", "Program"]


class FakeRuntime(FakeImages):
    """Implements `agent.runtime.protocol.Runtime` in memory."""

    def __init__(self, clock: Clock, *, memory_bytes: int = 16 << 30, cpus: int = 4) -> None:
        """An empty engine. `registry` holds what can be pulled, `programs` how images behave, by reference."""
        super().__init__()
        self.clock = clock
        self.trace: list[Call] = []
        self.exec_outcome: Callable[[ContainerRecord, Sequence[str]], ExecOutcome] = lambda record, command: (
            ExecOutcome()
        )
        self._containers: dict[str, FakeContainer] = {}
        self.volumes = FakeVolumes()
        self.memory_used = 0
        self._errors: dict[str, list[InjectedError]] = {}
        self._feed = FakeEventFeed()
        self._timers: set[asyncio.Task[None]] = set()
        self._sequence = 0
        self._info = fake_info(memory_bytes=memory_bytes, cpus=cpus)

    # --- the test's side ----------------------------------------------------------------------------------------------

    def inject_error(self, verb: str, error: Exception, *, times: int = 1, after: bool = False) -> None:
        """Make the next calls of a verb fail; with `after` the call takes effect all the same."""
        self._errors.setdefault(verb, []).append(InjectedError(error, times, after))

    def exit_container(self, container_id: str, *, exit_code: int = 0, oom_killed: bool = False) -> None:
        """Let a running container's first process end."""
        self._exit(self._get(container_id), exit_code, oom_killed)

    def create_body(self, container_id: str) -> CreateBody:
        """What a container was created with."""
        return self._get(container_id).body

    def break_events(self) -> None:
        """Break every open event stream, as a restart of the engine does."""
        self._feed.break_off()
        self.break_image_events()

    def verbs(self) -> list[str]:
        """The verbs called so far, in order."""
        return [call.verb for call in self.trace]

    # --- the seam -----------------------------------------------------------------------------------------------------

    async def info(self) -> EngineInfo:
        """Describe the engine."""
        self._begin("info")
        return self._info

    async def list_containers(self, labels: Mapping[str, str]) -> list[ContainerRecord]:
        """All containers that carry the labels."""
        self._begin("list_containers")
        return [one.record for one in self._containers.values() if matches(one.record.labels, labels)]

    async def inspect_container(self, container_id: str, *, with_size: bool = False) -> ContainerRecord:
        """One container by id or name."""
        self._begin("inspect_container", container_id)
        return self._get(container_id).record

    async def create_container(self, name: str, body: CreateBody) -> str:
        """Create; the name is the lock."""
        late = self._begin("create_container", name)
        if any(one.record.name == name for one in self._containers.values()):
            raise NameConflictError(f'Conflict. The container name "/{name}" is already in use')
        image = self._find(body["Image"])
        if image is None:
            raise ImageNotFoundError(f"No such image: {body['Image']}")
        self._sequence += 1
        container_id = hashlib.sha256(f"{name}/{self._sequence}".encode()).hexdigest()
        record = ContainerRecord(
            id=container_id,
            name=name,
            labels=dict(body.get("Labels") or {}),
            state=ContainerState.CREATED,
            image=body["Image"],
            image_id=image.id,
            created_at=self.clock.now(),
            log_path=f"/var/lib/docker/containers/{container_id}/{container_id}-json.log",
        )
        self._containers[container_id] = FakeContainer(record, body, self._program(body["Image"], image))
        self.volumes.make_missing(body)
        raise_late(late)
        return container_id

    async def start_container(self, container_id: str) -> None:
        """Start; joins must be to running containers."""
        late = self._begin("start_container", container_id)
        container = self._get(container_id)
        if container.record.state is ContainerState.RUNNING:
            return
        for joined in joined_ids(container.body):
            if joined not in self._containers or self._containers[joined].record.state is not ContainerState.RUNNING:
                raise RuntimeFailure(
                    f"cannot join a container that is not running: {joined}", reason="RunContainerError"
                )
        self.volumes.mount_all(container.body)
        if container.program.start_error:
            container.record = replace(container.record, exit_code=127, error=container.program.start_error)
            raise RuntimeFailure(container.program.start_error, reason="RunContainerError")
        self._sequence += 1
        container.record = replace(
            container.record,
            state=ContainerState.RUNNING,
            started_at=self.clock.now(),
            finished_at=None,
            exit_code=0,
            oom_killed=False,
            pid=FIRST_PID + self._sequence,
            user=user_of(container.body, self._find(container.record.image_id)),
        )
        container.stopped.clear()
        self._emit("start", container.record)
        if container.program.runs_seconds is not None:
            self._schedule_exit(container)
        raise_late(late)

    async def stop_container(self, container_id: str, *, signal: str, grace_seconds: int) -> None:
        """Signal, wait, kill."""
        late = self._begin("stop_container", container_id)
        container = self._get(container_id)
        if grace_seconds > 0:
            self._signal(container, signal)
            if container.record.state is ContainerState.RUNNING:
                await self._wait(container, grace_seconds)
        self._signal(container, "SIGKILL")
        raise_late(late)

    async def kill_container(self, container_id: str, signal: str = "SIGKILL") -> None:
        """Signal; nothing if it does not run."""
        late = self._begin("kill_container", container_id)
        if container_id in self._containers:
            self._signal(self._containers[container_id], signal)
        raise_late(late)

    async def update_container(self, container_id: str, settings: Mapping[str, int]) -> None:
        """Change the resources of a container."""
        late = self._begin("update_container", container_id)
        container = self._containers.get(container_id)
        if container is None:
            raise ContainerNotFoundError(f"No such container: {container_id}")
        container.body["HostConfig"].update(settings)
        raise_late(late)

    async def remove_container(self, container_id: str) -> None:
        """Kill and remove; nothing if it is gone."""
        late = self._begin("remove_container", container_id)
        container = self._containers.get(container_id)
        if container is not None:
            self._signal(container, "SIGKILL")
            self._containers.pop(container_id, None)
            self._emit("destroy", container.record)
        raise_late(late)

    async def find_volume(self, name: str) -> VolumeRecord | None:
        """By name."""
        self._begin("find_volume", name)
        return self.volumes.records.get(name)

    async def list_volumes(self, labels: Mapping[str, str]) -> list[VolumeRecord]:
        """All volumes that carry the labels."""
        self._begin("list_volumes")
        return [one for one in self.volumes.records.values() if matches(one.labels, labels)]

    async def remove_volume(self, name: str) -> bool:
        """Forget it, unless a container mounts it."""
        late = self._begin("remove_volume", name)
        is_removed = self.volumes.remove(name, (one.body for one in self._containers.values()))
        raise_late(late)
        return is_removed

    async def open_exec(
        self, container_id: str, command: Sequence[str], *, stdin: bool = False, tty: bool = False
    ) -> FakeStream:
        """A command whose outcome `exec_outcome` decides."""
        self._begin("open_exec", container_id)
        container = self._get(container_id)
        if container.record.state is not ContainerState.RUNNING:
            raise RuntimeFailure(f"Container {container_id} is not running")
        outcome = self.exec_outcome(container.record, command)
        stream = FakeStream(
            output=outcome.output,
            exit_code=outcome.exit_code,
            stays_open=outcome.runs_forever or outcome.echoes_stdin,
            echoes=outcome.echoes_stdin,
        )
        container.streams.append(stream)
        return stream

    async def run_exec(self, container_id: str, command: Sequence[str], *, timeout_seconds: float) -> ExecResult:
        """To its end, or to the deadline on the fake's clock."""
        self._begin("run_exec", container_id)
        stream = await self.open_exec(container_id, command)
        reading = asyncio.ensure_future(collect_output(stream))
        deadline = asyncio.ensure_future(self.clock.sleep(timeout_seconds))
        try:
            await asyncio.wait({reading, deadline}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                raise TimeoutError
            return ExecResult(exit_code=await stream.exit_code(), output=reading.result())
        finally:
            reading.cancel()
            deadline.cancel()
            await stream.close()

    async def open_attach(
        self, container_id: str, *, stdin: bool = False, stdin_once: bool = False, tty: bool = False
    ) -> FakeStream:
        """Sees nothing and ends with the container."""
        self._begin("open_attach", container_id)
        container = self._get(container_id)
        stream = FakeStream(output=b"", exit_code=0, stays_open=True, echoes=stdin)
        if container.record.state is ContainerState.EXITED:
            stream.end(container.record.exit_code)
        container.streams.append(stream)
        return stream

    async def events(self, labels: Mapping[str, str]) -> AsyncIterator[RuntimeEvent]:
        """Until `break_events`."""
        self._begin("events")
        async for event in self._feed.events(labels):
            yield event

    async def stats(self, container_id: str) -> Mapping[str, Any]:
        """A container that uses no processor time, and `memory_used` bytes."""
        self._begin("stats", container_id)
        self._get(container_id)
        memory = {"usage": self.memory_used, "stats": {}}
        return {"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": memory}

    async def close(self) -> None:
        """Stop the timers."""
        for timer in self._timers:
            timer.cancel()

    # --- mechanics ----------------------------------------------------------------------------------------------------

    def _begin(self, verb: str, subject: str = "") -> Exception | None:
        """Record the call; raise an injected error, or return it to be raised after the effect."""
        self.trace.append(Call(verb, subject))
        waiting = self._errors.get(verb)
        if not waiting:
            return None
        injected = waiting[0]
        injected.times -= 1
        if injected.times <= 0:
            waiting.pop(0)
        if injected.after:
            return injected.error
        raise injected.error

    def _get(self, container_id: str) -> FakeContainer:
        for one in self._containers.values():
            if container_id in (one.record.id, one.record.name):
                return one
        raise ContainerNotFoundError(f"No such container: {container_id}")

    def _signal(self, container: FakeContainer, signal: str) -> None:
        if container.record.state is not ContainerState.RUNNING:
            return
        name = signal if signal.startswith("SIG") else f"SIG{signal}"
        if name == "SIGKILL" or not container.program.ignores_sigterm:
            self._exit(container, EXIT_CODE_OF_SIGNAL.get(name, 143), oom_killed=False)

    def _exit(self, container: FakeContainer, exit_code: int, oom_killed: bool) -> None:
        if container.record.state is not ContainerState.RUNNING:
            return
        container.record = replace(
            container.record,
            state=ContainerState.EXITED,
            finished_at=self.clock.now(),
            exit_code=exit_code,
            oom_killed=oom_killed,
            pid=0,
            user=None,
        )
        container.stopped.set()
        for stream in container.streams:
            stream.end(137)
        if oom_killed:
            self._emit("oom", container.record)
        self._emit("die", container.record)
        for other in list(self._containers.values()):
            if (other.body.get("HostConfig") or {}).get("PidMode") == f"container:{container.record.id}":
                self._exit(other, 137, oom_killed=False)

    def _schedule_exit(self, container: FakeContainer) -> None:
        async def end() -> None:
            program = container.program
            await self.clock.sleep(program.runs_seconds or 0)
            self._exit(container, program.exit_code, program.oom_killed)

        timer = asyncio.ensure_future(end())
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

    async def _wait(self, container: FakeContainer, seconds: float) -> None:
        stopped = asyncio.ensure_future(container.stopped.wait())
        deadline = asyncio.ensure_future(self.clock.sleep(seconds))
        await asyncio.wait({stopped, deadline}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        deadline.cancel()

    def _emit(self, action: str, record: ContainerRecord) -> None:
        self._feed.emit(action, record)
