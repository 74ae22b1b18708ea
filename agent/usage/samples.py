"""One look at what the node and its Pods use, taken when somebody asks; the documents are made of it."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agent.node.eviction.pod_usage import PodUse
from agent.node.host_counters import HostCounters, InterfaceCounters
from agent.node.host_facts import HostUsage
from agent.pods.container_cache import ContainerCache
from agent.pods.observed import ObservedContainer, ObservedSandbox
from agent.pods.pod_spec import is_host_network
from agent.runtime.protocol import EngineInfo, Runtime, RuntimeFailure
from agent.usage.claim_disks import ClaimDisk
from agent.usage.container_cgroup import ContainerCgroup
from agent.usage.container_processes import ContainerProcesses
from agent.usage.container_usage import ContainerUsage, parse_usage
from agent.usage.cpu_rates import CpuLook, CpuRates
from agent.usage.file_looks import FileLooks, MeasureFiles
from agent.usage.pressure import Pressures
from agent.usage.written_volumes import WrittenVolume
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject
from control.api.volumes import claim_names

#: what the node's own rate is kept by
NODE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSource:
    """What the node can tell of itself: the host's counters, what is free, the interfaces a process sees, the files
    that Pods have on disks, the file systems behind their claims, the cgroup of a process, and open files.
    """

    node_name: str
    engine: EngineInfo
    read_counters: Callable[[], HostCounters]
    read_free: Callable[[], HostUsage]
    read_interfaces: Callable[[int], Sequence[InterfaceCounters]]
    measure_files: MeasureFiles
    read_claims: Callable[[ReadOnlyObject], Sequence[ClaimDisk]]
    read_written: Callable[[ReadOnlyObject], Sequence[WrittenVolume]]
    read_cgroup: Callable[[int], ContainerCgroup | None]
    read_processes: Callable[[int, Sequence[int]], ContainerProcesses]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSample:
    """One running container. `cgroup` is None where the agent cannot see it, `processes` if they were not asked for."""

    name: str
    id: str
    image: str
    started_at: datetime | None
    log_path: str
    usage: ContainerUsage
    cgroup: ContainerCgroup | None = None
    processes: ContainerProcesses | None = None

    @property
    def process_count(self) -> int:
        """Processes; threads where the agent does not see the processes."""
        return len(self.cgroup.process_ids) if self.cgroup else self.usage.threads


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSample:
    """The running containers of one Pod. `interfaces` are those of its own network, none on the host's.

    `claims` and `written` volumes are there only if they were asked for.
    """

    pod: ReadOnlyObject
    containers: tuple[ContainerSample, ...]
    interfaces: tuple[InterfaceCounters, ...] = ()
    claims: tuple[ClaimDisk, ...] = ()
    written: tuple[WrittenVolume, ...] = ()

    @property
    def cgroup_path(self) -> str:
        """The Pod's own cgroup, empty where it has none: the one above those of its containers, called after it."""
        uid = self.pod["metadata"]["uid"]
        for container in self.containers:
            path = posixpath.dirname(container.cgroup.path) if container.cgroup else ""
            if uid in path or uid.replace("-", "_") in path:
                return path
        return ""

    @property
    def pressures(self) -> Pressures | None:
        """Of its own cgroup."""
        found = (item.cgroup.pressures_above for item in self.containers if item.cgroup and self.cgroup_path)
        return next(found, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSample:
    """The node and its Pods at `time`. `failures` counts containers that the engine could not tell of.

    `cpu_rates` are nanoseconds per second since a look before, by container id and by NODE. `files` are by UID, there
    only if they were asked for.
    """

    node_name: str
    time: datetime
    host: HostCounters
    free: HostUsage
    cpus: int
    pods: tuple[PodSample, ...]
    failures: int = 0
    cpu_rates: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, PodUse] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What of the costly things is asked for."""

    files: bool
    claims: bool
    open_files: bool


class UsageSampler:
    """Takes the samples."""

    def __init__(
        self,
        source: UsageSource,
        *,
        pods: Callable[[], Iterable[ReadOnlyObject]],
        cache: ContainerCache,
        runtime: Runtime,
        clock: Clock,
    ) -> None:
        self._source = source
        self._pods = pods
        self._cache = cache
        self._runtime = runtime
        self._clock = clock
        self._rates = CpuRates()
        self._files = FileLooks(source.measure_files, clock)

    @property
    def node_name(self) -> str:
        """Whose samples these are."""
        return self._source.node_name

    async def sample(
        self, *, with_files: bool = False, with_claims: bool = False, with_open_files: bool = False
    ) -> NodeSample:
        """Look once, at all containers side by side."""
        pods = list(self._pods())
        files = await self._files.look(pods) if with_files else {}
        wanted = _Wanted(files=with_files, claims=with_claims, open_files=with_open_files)
        looked = await asyncio.gather(*(self._look(pod, wanted) for pod in pods))
        now, host = self._clock.now(), self._source.read_counters()
        usages = {item.id: item.usage for sample, _ in looked for item in sample.containers}
        looks = {name: CpuLook(usage.sampled_at, usage.cpu_nanoseconds) for name, usage in usages.items()}
        return NodeSample(
            node_name=self._source.node_name,
            time=now,
            host=host,
            free=self._source.read_free(),
            cpus=self._source.engine.cpus,
            pods=tuple(sample for sample, _ in looked),
            failures=sum(failures for _, failures in looked),
            cpu_rates=self._rates.update({**looks, NODE: CpuLook(now, host.cpu_nanoseconds)}),
            files=files,
        )

    async def sample_claims(self) -> list[PodSample]:
        """Look at the file systems behind claims alone, without a question to the engine."""
        return [PodSample(pod=pod, containers=(), claims=await self._claims(pod)) for pod in list(self._pods())]

    async def _look(self, pod: ReadOnlyObject, wanted: _Wanted) -> tuple[PodSample, int]:
        observed = self._cache.observe(pod["metadata"]["uid"], stopping={}, attached=())
        running = observed.running_containers()
        found = await asyncio.gather(*(self._usage(container) for container in running))
        seen = [(one, usage) for one, usage in zip(running, found, strict=True) if usage is not None]
        samples = await asyncio.to_thread(self._complete, seen, wanted) if seen else ()
        sample = PodSample(
            pod=pod,
            containers=samples,
            interfaces=self._interfaces(pod, observed.sandbox),
            claims=await self._claims(pod) if wanted.claims else (),
            written=tuple(await asyncio.to_thread(self._source.read_written, pod)) if wanted.files else (),
        )
        return sample, len(running) - len(samples)

    async def _claims(self, pod: ReadOnlyObject) -> tuple[ClaimDisk, ...]:
        """Most Pods have none, and need no thread to say so."""
        if not any(claim_names(pod)):
            return ()
        return tuple(await asyncio.to_thread(self._source.read_claims, pod))

    def _interfaces(self, pod: ReadOnlyObject, sandbox: ObservedSandbox | None) -> tuple[InterfaceCounters, ...]:
        if sandbox is None or not sandbox.record.pid or is_host_network(pod):
            return ()
        return tuple(self._source.read_interfaces(sandbox.record.pid))

    async def _usage(self, container: ObservedContainer) -> ContainerUsage | None:
        try:
            sample = await self._runtime.stats(container.id)
        except RuntimeFailure:
            return None
        return parse_usage(sample, self._clock.now(), self._source.engine.memory_bytes)

    def _complete(
        self, seen: Sequence[tuple[ObservedContainer, ContainerUsage]], wanted: _Wanted
    ) -> tuple[ContainerSample, ...]:
        """What the engine told, with what the kernel tells. Blocking."""
        return tuple(self._sample(container, usage, wanted) for container, usage in seen)

    def _sample(self, container: ObservedContainer, usage: ContainerUsage, wanted: _Wanted) -> ContainerSample:
        record = container.record
        cgroup = self._source.read_cgroup(record.pid) if record.pid else None
        return ContainerSample(
            name=container.name,
            id=record.id,
            image=record.image,
            started_at=record.started_at,
            log_path=record.log_path,
            usage=usage,
            cgroup=cgroup,
            processes=self._source.read_processes(record.pid, cgroup.process_ids)
            if cgroup and wanted.open_files
            else None,
        )
