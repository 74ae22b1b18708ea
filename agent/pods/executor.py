"""Carries out a Pod's actions on the engine, the network and the volumes. Decides nothing.

One `PodExecutor` serves all workers. Each call returns what it learnt as an `Outcome`: obstacles become waiting reasons
and Events in the kubelet's words; an error of the engine itself rises to the worker, which retries. Every step may
have happened before (a crash, a lost answer): names are create-once locks and a container that fits is adopted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.network.protocol import NetworkError, PodAddress, PodNetwork
from agent.pods.actions import (
    Action,
    BackOff,
    CreateSandbox,
    KillContainer,
    RemoveContainer,
    RemoveSandbox,
    ResizeContainer,
    RunPreStop,
    StartContainer,
    StartSandbox,
    StopContainer,
    StopSandbox,
    WakeAfter,
)
from agent.pods.container_cache import ContainerCache
from agent.pods.container_configuration import SandboxReference
from agent.pods.container_start import AlreadyStartedError, ContainerStarter, SandboxGoneError, StartFailure
from agent.pods.container_stopper import ContainerStopper
from agent.pods.hooks import HookRunner
from agent.pods.image_pull import ImagePendingError
from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import describe_pod, field_path, find_container, has_post_start, is_host_network
from agent.pods.pod_status import Waiting
from agent.pods.ports import port_mappings
from agent.pods.runtime_class import RuntimeHandlers
from agent.runtime.identity import NodeIdentity, format_resources, sandbox_labels, sandbox_name
from agent.runtime.images import format_duration
from agent.runtime.protocol import (
    ContainerState,
    CreateBody,
    ImageNotFoundError,
    NameConflictError,
    Runtime,
    RuntimeFailure,
)
from agent.runtime.resource_settings import cpu_settings, memory_settings
from agent.runtime.sysctls import network_sysctls
from agent.runtime.translate import HostLimits, HostnameError, SandboxRequest, sandbox_create_body
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject

SANDBOX_RETRY_SECONDS = 1.0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSettings:
    """What every sandbox is made with. `in_flight_max` bounds Pods that start at the same time."""

    owner: NodeIdentity
    pause_image: str
    host: HostLimits
    node_ip: Callable[[], str]
    cluster_domain: str = "cluster.local"
    in_flight_max: int = 6


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
        network: PodNetwork,
        cache: ContainerCache,
        starter: ContainerStarter,
        hooks: HookRunner,
        handlers: RuntimeHandlers,
        record: RecordEvent,
        clock: Clock,
        settings: ExecutorSettings,
    ) -> None:
        self._runtime = runtime
        self._network = network
        self._cache = cache
        self._starter = starter
        self._stopper = ContainerStopper(runtime=runtime, starter=starter, hooks=hooks, record=record, clock=clock)
        self._handlers = handlers
        self._record = record
        self._clock = clock
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.in_flight_max)
        self._reserved: dict[str, str] = {}

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
                self._starter.begin_mount(pod_record)
                await self._create_sandbox(pod_record, action, course)
            case StartSandbox():
                await course.slot.acquire()
                await self._start_sandbox(pod_record, action.sandbox_id, action.ip)
            case StartContainer():
                await self._start_container(pod_record, action, outcome, course)
            case StopContainer():
                outcome.wake_after(self._stopper.begin(pod_record, action))
            case RunPreStop():
                self._stopper.begin_pre_stop(pod_record, action)
            case KillContainer():
                await self._kill(action.container_id)
            case StopSandbox():
                await self._stop_sandbox(action.sandbox_id, action.ip)
            case ResizeContainer():
                await self._resize(pod_record, action, outcome)
            case RemoveContainer():
                await self._remove(action.container_id)
            case RemoveSandbox():
                await self._stop_sandbox(action.sandbox_id, action.ip)
                await self._remove(action.sandbox_id)
            case BackOff():
                self._back_off(pod_record, action, outcome)
            case WakeAfter():
                outcome.wake_after(action.seconds)

    # --- sandbox ------------------------------------------------------------------------------------------------------

    async def _create_sandbox(self, pod_record: PodRecord, action: CreateSandbox, course: _Course) -> None:
        """Create pause and begin to start it; containers are created meanwhile and start once it is wired.

        The address is chosen first and travels as a label: the record of its allocation.
        """
        pod = pod_record.pod
        name = sandbox_name(pod, action.attempt)
        address = None if is_host_network(pod) else self._reserve_address(name)
        ip = address.ip if address else ""
        try:
            labels = sandbox_labels(self._settings.owner, pod, attempt=action.attempt, pod_ip=ip)
            runtime = await self._handlers.find(pod)
            body = sandbox_create_body(self._sandbox_request(pod, labels, runtime))
            if address is not None:
                self._network.configure_sandbox(body, address)
            sandbox_id = await self._create_pause(name, body)
        except HostnameError as error:
            self._reserved.pop(name, None)
            self._report_sandbox_failure(pod, error)
            raise RuntimeFailure(str(error)) from error
        except (RuntimeFailure, NetworkError) as error:
            self._reserved.pop(name, None)
            self._report_sandbox_failure(pod, error)
            raise
        course.sandbox = SandboxReference(id=sandbox_id, ip=ip)
        course.starting = asyncio.ensure_future(self._start_created(pod_record, name, course.sandbox))

    def _sandbox_request(self, pod: ReadOnlyObject, labels: Mapping[str, str], runtime: str) -> SandboxRequest:
        settings = self._settings
        return SandboxRequest(
            pod=pod,
            cluster_domain=settings.cluster_domain,
            image=settings.pause_image,
            labels=labels,
            host=settings.host,
            runtime=runtime,
        )

    async def _create_pause(self, name: str, body: CreateBody) -> str:
        try:
            return await self._runtime.create_container(name, body)
        except NameConflictError:
            # A former try got this far. Its address may be taken meanwhile, so it is not used.
            existing = await self._runtime.inspect_container(name)
            await self._runtime.remove_container(existing.id)
            self._cache.forget(existing.id)
            return await self._runtime.create_container(name, body)

    async def _start_created(self, pod_record: PodRecord, name: str, sandbox: SandboxReference) -> None:
        try:
            await self._start_sandbox(pod_record, sandbox.id, sandbox.ip)
        except (RuntimeFailure, NetworkError) as error:
            self._report_sandbox_failure(pod_record.pod, error)
            await self._cache.refresh(sandbox.id)
            raise
        finally:
            self._reserved.pop(name, None)

    def _report_sandbox_failure(self, pod: ReadOnlyObject, error: Exception) -> None:
        self._record(pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")

    def _reserve_address(self, name: str) -> PodAddress:
        address = self._network.choose_address(self._cache.used_addresses() | frozenset(self._reserved.values()))
        self._reserved[name] = address.ip
        return address

    async def _start_sandbox(self, pod_record: PodRecord, sandbox_id: str, ip: str) -> None:
        record = self._cache.find(sandbox_id)
        existed = record is not None and record.state is ContainerState.RUNNING
        if not existed:
            await self._runtime.start_container(sandbox_id)
            record = await self._cache.refresh(sandbox_id)
        if record is None or record.state is not ContainerState.RUNNING:
            raise RuntimeFailure("the pause container exited at once")
        if ip:
            pod, address = pod_record.pod, PodAddress(ip=ip, node_ip=self._settings.node_ip())
            lacking = await self._network.attach(record.pid, address, network_sysctls(pod), port_mappings(pod))
            self._report_ports(pod, lacking)
        elif not existed:
            self._report_ports(pod_record.pod, await self._network.find_port_clashes(port_mappings(pod_record.pod)))
        pod_record.attached.add(sandbox_id)

    def _report_ports(self, pod: ReadOnlyObject, problems: Sequence[str]) -> None:
        for problem in problems:
            self._record(pod, "Warning", "HostPortConflict", problem)

    async def _stop_sandbox(self, sandbox_id: str, ip: str) -> None:
        record = self._cache.find(sandbox_id)
        if record is not None and record.state is ContainerState.RUNNING:
            await self._runtime.kill_container(sandbox_id)
            await self._settle(sandbox_id)
        if ip and ip not in self._cache.used_addresses() and ip not in self._reserved.values():
            await self._network.detach(PodAddress(ip=ip, node_ip=self._settings.node_ip()))

    async def _settle(self, container_id: str) -> None:
        """See the end of a killed container; the `die` event does the same, later."""
        record = await self._cache.refresh(container_id)
        for _ in range(20):
            if record is None or record.state is not ContainerState.RUNNING:
                return
            await self._clock.sleep(0.01)
            record = await self._cache.refresh(container_id)

    # --- containers ---------------------------------------------------------------------------------------------------

    async def _start_container(
        self, pod_record: PodRecord, action: StartContainer, outcome: Outcome, course: _Course
    ) -> None:
        """Start one container; an obstacle concerns this container alone."""
        name = action.container_name
        sandbox = course.sandbox or self._find_sandbox(pod_record)
        if sandbox is None:
            return
        try:
            created = await self._starter.create(pod_record, action, sandbox)
            await course.sandbox_started()
            await course.slot.acquire()
            await self._starter.start(pod_record, action, created)
            if has_post_start(created.container):
                # A hook may take for ever: it must not keep other Pods from starting.
                course.slot.release()
                await self._starter.post_start(pod_record, created)
        except ImagePendingError:
            await course.sandbox_started()
            course.slot.release()
            pod_record.waiting.pop(name, None)
        except StartFailure as failure:
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
            pod_record.waiting.pop(name, None)

    async def _resize(self, pod_record: PodRecord, action: ResizeContainer, outcome: Outcome) -> None:
        """Change the engine's limits; one that it refuses is tried again later."""
        container = find_container(pod_record.pod, action.container_name)
        assert container is not None
        try:
            settings = {**cpu_settings(container), **memory_settings(container)}
            await self._runtime.update_container(action.container_id, settings)
        except RuntimeFailure as error:
            pod_record.resize_errors[action.container_name] = str(error)
            self._record(pod_record.pod, "Warning", "ResizeError", f"Container {action.container_name}: {error}")
            outcome.wake_after(RESIZE_RETRY_SECONDS)
        else:
            pod_record.resize_errors.pop(action.container_name, None)
            self._cache.note_resources(action.container_id, format_resources(container))

    def _find_sandbox(self, pod_record: PodRecord) -> SandboxReference | None:
        sandbox = pod_record.observe(self._cache).sandbox
        return SandboxReference(id=sandbox.id, ip=sandbox.ip) if sandbox is not None and sandbox.is_ready else None

    async def _kill(self, container_id: str) -> None:
        await self._runtime.kill_container(container_id)
        await self._settle(container_id)

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
            self._starter.hint_at_process_sharing(pod_record, name)
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
