"""Making, starting and stopping a Pod's sandbox: the pause container, its cgroup, its address and its wiring.

Called by the executor. The address is chosen first and travels as a label of pause: the record of its allocation. The
Pod's cgroup is there before pause starts in it and goes after the last process has left it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent.cgroups.protocol import CgroupError, PodCgroups
from agent.network.protocol import NetworkError, PodAddress, PodNetwork
from agent.pods.actions import CreateSandbox
from agent.pods.container_cache import ContainerCache
from agent.pods.container_configuration import SandboxReference
from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import is_host_network
from agent.pods.ports import port_mappings
from agent.pods.runtime_class import RuntimeHandlers
from agent.pods.start_failure import SandboxGoneError
from agent.runtime.hostname import HostnameError
from agent.runtime.identity import NodeIdentity, sandbox_labels, sandbox_name
from agent.runtime.protocol import ContainerState, CreateBody, NameConflictError, Runtime, RuntimeFailure
from agent.runtime.sysctls import network_sysctls
from agent.runtime.translate import HostLimits, SandboxRequest, sandbox_create_body
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """What every sandbox is made with."""

    owner: NodeIdentity
    pause_image: str
    host: HostLimits
    node_ip: Callable[[], str]
    cluster_domain: str = "cluster.local"


class SandboxStarter:
    """Makes sandboxes, and takes them off the host."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        network: PodNetwork,
        cgroups: PodCgroups,
        cache: ContainerCache,
        handlers: RuntimeHandlers,
        record: Callable[..., None],
        clock: Clock,
        settings: SandboxSettings,
    ) -> None:
        self._runtime = runtime
        self._network = network
        self._cgroups = cgroups
        self._cache = cache
        self._handlers = handlers
        self._record = record
        self._clock = clock
        self._settings = settings
        self._reserved: dict[str, str] = {}

    async def create(self, pod_record: PodRecord, action: CreateSandbox) -> tuple[SandboxReference, asyncio.Task[None]]:
        """Create pause and begin to start it: containers are created meanwhile and start once it is wired.

        Returns the sandbox and its start, which raises what `start` raises.
        """
        pod = pod_record.pod
        if action.attempt > 0:
            self._record(pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        name = sandbox_name(pod, action.attempt)
        address = None if is_host_network(pod) else self._reserve_address(name)
        ip = address.ip if address else ""
        try:
            labels = sandbox_labels(self._settings.owner, pod, attempt=action.attempt, pod_ip=ip)
            runtime = await self._handlers.find(pod)
            body = sandbox_create_body(self._request(pod, labels, runtime))
            if address is not None:
                self._network.configure_sandbox(body, address)
            sandbox_id, _ = await asyncio.gather(self._create_pause(name, body), self.ensure_cgroup(pod_record))
        except HostnameError as error:
            self._reserved.pop(name, None)
            self._report_failure(pod, error)
            raise RuntimeFailure(str(error)) from error
        except CgroupError:
            self._reserved.pop(name, None)
            raise
        except (RuntimeFailure, NetworkError) as error:
            self._reserved.pop(name, None)
            self._report_failure(pod, error)
            raise
        sandbox = SandboxReference(id=sandbox_id, ip=ip)
        return sandbox, asyncio.ensure_future(self._start_created(pod_record, name, sandbox))

    async def resize(self, pod_record: PodRecord, *, raise_only: bool) -> None:
        """Make the Pod's cgroup what the Pod asks for, or with `raise_only` at least that. Raises CgroupError."""
        await self._cgroups.ensure(pod_record.allocated or pod_record.pod, raise_only=raise_only)

    async def ensure_cgroup(self, pod_record: PodRecord, *, raise_only: bool = False) -> None:
        """The same before something starts in it: an Event tells of the failure. Raises CgroupError."""
        pod = pod_record.pod
        try:
            await self.resize(pod_record, raise_only=raise_only)
        except CgroupError as error:
            message = f"unable to ensure pod container exists: {error}"
            self._record(pod, "Warning", "FailedCreatePodContainer", message)
            raise

    async def container_started(self, pod_record: PodRecord, container_id: str) -> None:
        """What is set on a container's cgroup once the engine has made it."""
        await self._cgroups.group_processes(pod_record.pod, container_id)

    async def start(self, pod_record: PodRecord, sandbox_id: str, ip: str) -> None:
        """Start pause unless it runs, and wire it. Raises RuntimeFailure, NetworkError, SandboxGoneError.

        One that has ended is never started again: containers may be left in the network that died with it.
        """
        record = self._cache.find(sandbox_id)
        if record is not None and record.state is ContainerState.EXITED:
            raise SandboxGoneError
        existed = record is not None and record.state is ContainerState.RUNNING
        # Of a Pod that runs since before this agent did, containers may still have more than it asks for now.
        await self.ensure_cgroup(pod_record, raise_only=existed)
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

    async def stop(self, pod_record: PodRecord, sandbox_id: str, ip: str) -> None:
        """Kill pause if it lives, and take its address and the Pod's cgroup off the host."""
        record = self._cache.find(sandbox_id)
        if record is not None and record.state is ContainerState.RUNNING:
            await self._runtime.kill_container(sandbox_id)
            await self.settle(sandbox_id)
        if ip and ip not in self._cache.used_addresses() and ip not in self._reserved.values():
            await self._network.detach(PodAddress(ip=ip, node_ip=self._settings.node_ip()))
        if not pod_record.observe(self._cache).has_processes:
            await self._cgroups.remove(pod_record.uid)
        pod_record.released.add(sandbox_id)

    async def settle(self, container_id: str) -> None:
        """See the end of a killed container; the `die` event does the same, later."""
        record = await self._cache.refresh(container_id)
        for _ in range(20):
            if record is None or record.state is not ContainerState.RUNNING:
                return
            await self._clock.sleep(0.01)
            record = await self._cache.refresh(container_id)

    def _request(self, pod: ReadOnlyObject, labels: Mapping[str, str], runtime: str) -> SandboxRequest:
        settings = self._settings
        return SandboxRequest(
            pod=pod,
            cluster_domain=settings.cluster_domain,
            image=settings.pause_image,
            labels=labels,
            host=settings.host,
            cgroup_parent=self._cgroups.parent(pod),
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
            await self.start(pod_record, sandbox.id, sandbox.ip)
        except (RuntimeFailure, NetworkError) as error:
            self._report_failure(pod_record.pod, error)
            await self._cache.refresh(sandbox.id)
            raise
        finally:
            self._reserved.pop(name, None)

    def _report_failure(self, pod: ReadOnlyObject, error: Exception) -> None:
        self._record(pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")

    def _reserve_address(self, name: str) -> PodAddress:
        address = self._network.choose_address(self._cache.used_addresses() | frozenset(self._reserved.values()))
        self._reserved[name] = address.ip
        return address

    def _report_ports(self, pod: ReadOnlyObject, problems: Sequence[str]) -> None:
        for problem in problems:
            self._record(pod, "Warning", "HostPortConflict", problem)
