"""One look at what the node and its Pods use, taken when somebody asks; the documents are made of it."""

from __future__ import annotations

import asyncio
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
from agent.usage.container_usage import ContainerUsage, parse_usage
from agent.usage.cpu_rates import CpuLook, CpuRates
from agent.usage.file_looks import FileLooks, MeasureFiles
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject
from control.api.volumes import claim_names

#: what the node's own rate is kept by
NODE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSource:
    """What the node can tell of itself: the host's counters, what is free, the interfaces a process sees, the files
    that Pods have on disks, and the file systems behind their claims.
    """

    node_name: str
    engine: EngineInfo
    read_counters: Callable[[], HostCounters]
    read_free: Callable[[], HostUsage]
    read_interfaces: Callable[[int], Sequence[InterfaceCounters]]
    measure_files: MeasureFiles
    read_claims: Callable[[ReadOnlyObject], Sequence[ClaimDisk]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSample:
    """One running container."""

    name: str
    id: str
    image: str
    started_at: datetime | None
    log_path: str
    usage: ContainerUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSample:
    """The running containers of one Pod. `interfaces` are those of its own network, none on the host's.

    `claims` are there only if they were asked for.
    """

    pod: ReadOnlyObject
    containers: tuple[ContainerSample, ...]
    interfaces: tuple[InterfaceCounters, ...] = ()
    claims: tuple[ClaimDisk, ...] = ()


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

    async def sample(self, *, with_files: bool = False, with_claims: bool = False) -> NodeSample:
        """Look once, at all containers side by side."""
        pods = list(self._pods())
        files = await self._files.look(pods) if with_files else {}
        looked = await asyncio.gather(*(self._look(pod, with_claims) for pod in pods))
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

    async def _look(self, pod: ReadOnlyObject, with_claims: bool) -> tuple[PodSample, int]:
        observed = self._cache.observe(pod["metadata"]["uid"], stopping={}, attached=())
        running = observed.running_containers()
        found = await asyncio.gather(*(self._usage(container) for container in running))
        samples = [_sample(one, usage) for one, usage in zip(running, found, strict=True) if usage is not None]
        sample = PodSample(
            pod=pod,
            containers=tuple(samples),
            interfaces=self._interfaces(pod, observed.sandbox),
            claims=await self._claims(pod) if with_claims else (),
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


def _sample(container: ObservedContainer, usage: ContainerUsage) -> ContainerSample:
    record = container.record
    return ContainerSample(
        name=container.name,
        id=record.id,
        image=record.image,
        started_at=record.started_at,
        log_path=record.log_path,
        usage=usage,
    )
