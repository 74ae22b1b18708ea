"""Carries out a Pod's actions on the engine, the network and the volumes. Decides nothing.

One `PodExecutor` serves all workers. Each call returns what it learnt as an `Outcome`: obstacles become waiting reasons
and Events in the kubelet's words; an error of the engine itself rises to the worker, which retries. Every step may
have happened before (a crash, a lost answer): names are create-once locks and a container that fits is adopted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agent.network.protocol import NetworkError
from agent.pods.actions import (
    Action,
    BackOff,
    CreateSandbox,
    KillContainer,
    RemoveContainer,
    RemoveSandbox,
    ResizeContainer,
    ResizePod,
    RunPreStop,
    StartContainer,
    StartSandbox,
    StopContainer,
    StopSandbox,
    WakeAfter,
)
from agent.pods.container_cache import ContainerCache
from agent.pods.container_configuration import SandboxReference
from agent.pods.container_start import ContainerStarter
from agent.pods.container_stopper import ContainerStopper
from agent.pods.hooks import HookRunner
from agent.pods.image_pull import ImagePendingError
from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import describe_pod, field_path, has_post_start
from agent.pods.pod_status import Waiting
from agent.pods.process_sharing_hint import process_sharing_hint
from agent.pods.resizer import PodResizer
from agent.pods.sandbox_start import SandboxStarter
from agent.pods.start_failure import AlreadyStartedError, SandboxGoneError, StartFailure
from agent.pods.start_tally import StartTally
from agent.runtime.protocol import ImageNotFoundError, Runtime, RuntimeFailure
from control.api.clock import Clock
from control.api.durations import format_duration

IN_FLIGHT_MAX = 6
RESIZE_RETRY_SECONDS = 10.0

RecordEvent = Callable[..., None]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What carrying out actions brought: when to look again, and whether something stood in the way."""

    wake_seconds: float | None = None
    failed: bool = False

    def wake_after(self, seconds: float) -> None:
        """Look again after that long, or earlier if something else asks for it."""
        self.wake_seconds = seconds if self.wake_seconds is None else min(self.wake_seconds, seconds)


@dataclass(slots=True)
class _Slot:
    """One of the few places for Pods that start; held lazily, given up while something is waited for."""

    slots: asyncio.Semaphore
    held: bool = field(default=False)

    async def acquire(self) -> None:
        if not self.held:
            await self.slots.acquire()
            self.held = True

    def release(self) -> None:
        if self.held:
            self.slots.release()
            self.held = False


@dataclass(slots=True)
class _Course:
    """One execution: its place, and the sandbox it has begun to start."""

    slot: _Slot
    sandbox: SandboxReference | None = None
    starting: asyncio.Task[None] | None = None

    async def sandbox_started(self) -> None:
        """Wait until the sandbox can be joined. Raises what its start raised."""
        if self.starting is not None:
            await asyncio.shield(self.starting)

    async def end(self) -> None:
        """Give the place back. A start under way is seen through: half a sandbox is harder to mend than a whole one."""
        try:
            if self.starting is not None:
                await asyncio.gather(self.starting, return_exceptions=True)
        finally:
            self.slot.release()


class PodExecutor:
    """Applies actions."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        cache: ContainerCache,
        sandboxes: SandboxStarter,
        starter: ContainerStarter,
        hooks: HookRunner,
        record: RecordEvent,
        clock: Clock,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        """`in_flight_max` bounds Pods that start at the same time."""
        self._runtime = runtime
        self._cache = cache
        self._sandboxes = sandboxes
        self._starter = starter
        self._stopper = ContainerStopper(
            runtime=runtime, starter=starter, hooks=hooks, record=record, clock=cache.steady
        )
        self._resizer = PodResizer(runtime=runtime, cache=cache, sandboxes=sandboxes, clock=clock)
        self._record = record
        self._slots = asyncio.Semaphore(in_flight_max)
        self.starts = StartTally()

    async def execute(self, pod_record: PodRecord, actions: Sequence[Action]) -> Outcome:
        """Carry out the actions in order. Raises RuntimeFailure and NetworkError for what a retry may mend."""
        outcome = Outcome()
        course = _Course(_Slot(self._slots))
        try:
            for action in _batches(actions):
                if isinstance(action, list):
                    await asyncio.gather(*(self._apply(pod_record, one, outcome, course) for one in action))
                else:
                    await self._apply(pod_record, action, outcome, course)
            await course.sandbox_started()
        except RuntimeFailure:
            pod_record.is_unsure = True
            raise
        finally:
            await course.end()
        return outcome

    async def _apply(self, pod_record: PodRecord, action: Action, outcome: Outcome, course: _Course) -> None:
        match action:
            case CreateSandbox():
                await course.slot.acquire()
                pod_record.stop_deadline = None
                self._starter.mounting.begin(pod_record)
                await self._create_sandbox(pod_record, action, course)
            case StartSandbox():
                await course.slot.acquire()
                try:
                    await self._sandboxes.start(pod_record, action.sandbox_id, action.ip)
                except SandboxGoneError:
                    outcome.wake_after(0.0)
            case StartContainer():
                await self._start_container(pod_record, action, outcome, course)
            case StopContainer():
                outcome.wake_after(self._stopper.begin(pod_record, action))
            case RunPreStop():
                self._stopper.begin_pre_stop(pod_record, action)
            case KillContainer():
                await self._kill(action.container_id)
            case StopSandbox():
                await self._sandboxes.stop(pod_record, action.sandbox_id, action.ip)
            case ResizeContainer():
                if not await self._resizer.resize_container(pod_record, action):
                    outcome.wake_after(RESIZE_RETRY_SECONDS)
            case ResizePod():
                if not await self._resizer.resize_pod(pod_record, action):
                    outcome.wake_after(RESIZE_RETRY_SECONDS)
            case RemoveContainer():
                await self._remove(action.container_id)
            case RemoveSandbox():
                await self._sandboxes.stop(pod_record, action.sandbox_id, action.ip)
                await self._remove(action.sandbox_id)
            case BackOff():
                self._back_off(pod_record, action, outcome)
            case WakeAfter():
                outcome.wake_after(action.seconds)

    async def _create_sandbox(self, pod_record: PodRecord, action: CreateSandbox, course: _Course) -> None:
        self.starts.pods += 1
        try:
            course.sandbox, course.starting = await self._sandboxes.create(pod_record, action)
        except (RuntimeFailure, NetworkError):
            self.starts.pod_failures += 1
            raise
        course.starting.add_done_callback(self._count_failed_sandbox)

    def _count_failed_sandbox(self, starting: asyncio.Task[None]) -> None:
        if not starting.cancelled() and starting.exception() is not None:
            self.starts.pod_failures += 1

    # --- containers ---------------------------------------------------------------------------------------------------

    async def _start_container(
        self, pod_record: PodRecord, action: StartContainer, outcome: Outcome, course: _Course
    ) -> None:
        """Start one container; an obstacle concerns this container alone."""
        name = action.container_name
        pod_record.stop_deadline = None  # whatever it began to stop for, the Pod goes on
        sandbox = course.sandbox or self._find_sandbox(pod_record)
        if sandbox is None:
            return
        try:
            await self._sandboxes.ensure_cgroup(pod_record, raise_only=True)
            created = await self._starter.create(pod_record, action, sandbox)
            await course.sandbox_started()
            await course.slot.acquire()
            await self._starter.start(pod_record, action, created)
            await self._sandboxes.container_started(pod_record, created.id)
            if has_post_start(created.container):
                # A hook may take for ever: it must not keep other Pods from starting.
                course.slot.release()
                await self._starter.post_start(pod_record, created)
        except ImagePendingError:
            # What the container waits for stays told: a pull that is tried again has not succeeded yet.
            await course.sandbox_started()
            course.slot.release()
        except StartFailure as failure:
            if failure.reason != "ContainerCreating":  # as while volumes are mounted: no try yet
                self.starts.count_container(pod_record.pod, name, failure.reason)
            pod_record.waiting[name] = Waiting(reason=failure.reason, message=failure.message)
            outcome.failed = True
            pod_record.is_unsure |= isinstance(failure.__cause__, RuntimeFailure)
            if failure.retry_seconds is not None:
                outcome.wake_after(failure.retry_seconds)
            if failure.stop is not None:
                outcome.wake_after(self._stopper.begin(pod_record, failure.stop))
        except (ImageNotFoundError, SandboxGoneError, AlreadyStartedError):
            outcome.wake_after(0.0)
        else:
            self.starts.count_container(pod_record.pod, name)
            pod_record.waiting.pop(name, None)

    def _find_sandbox(self, pod_record: PodRecord) -> SandboxReference | None:
        sandbox = pod_record.observe(self._cache).sandbox
        return SandboxReference(id=sandbox.id, ip=sandbox.ip) if sandbox is not None and sandbox.is_ready else None

    async def _kill(self, container_id: str) -> None:
        await self._runtime.kill_container(container_id)
        await self._sandboxes.settle(container_id)

    async def _remove(self, container_id: str) -> None:
        await self._runtime.remove_container(container_id)
        self._cache.forget(container_id)

    def _back_off(self, pod_record: PodRecord, action: BackOff, outcome: Outcome) -> None:
        pod, name = pod_record.pod, action.container_name
        waiting = Waiting(
            reason="CrashLoopBackOff",
            message=f"back-off {format_duration(action.delay_seconds)} restarting failed container={name} "
            f"pod={describe_pod(pod)}",
        )
        if pod_record.waiting.get(name) != waiting:
            message = f"Back-off restarting failed container {name} in pod {describe_pod(pod)}"
            self._record(pod, "Warning", "BackOff", message, field_path=field_path(pod, name))
            hint = process_sharing_hint(pod_record, self._cache, name)
            if hint:
                self._record(pod, "Warning", "SharedProcessNamespace", hint, field_path=field_path(pod, name))
        pod_record.waiting[name] = waiting
        outcome.wake_after(action.remaining_seconds)


def _batches(actions: Sequence[Action]) -> list[Action | list[Action]]:
    """Neighbours that do not depend on each other go together: kills, and removals."""
    batches: list[Action | list[Action]] = []
    for action in actions:
        last = batches[-1] if batches else None
        if isinstance(action, KillContainer | RemoveContainer):
            if isinstance(last, list) and type(last[0]) is type(action):
                last.append(action)
            else:
                batches.append([action])
        else:
            batches.append(action)
    return batches
