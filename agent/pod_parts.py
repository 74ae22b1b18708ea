"""What the Pods of one agent need, put together: volumes, images, hooks, probes, the starter and the workers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from agent.api_objects import ApiObjects
from agent.cgroups.protocol import PodCgroups
from agent.images.garbage_plan import DiskState
from agent.images.image_garbage import ImageGarbage
from agent.images.pull_records import PullRecords
from agent.images.pulled_images import PulledImages
from agent.network.protocol import PodNetwork
from agent.node.admission import NodeAdmission
from agent.node.eviction.measuring import UseMeasuring
from agent.node.eviction.pod_evictor import EvictionServices, PodEvictor
from agent.node.eviction.signals import Observation
from agent.node.node_events import ALLOCATABLE_ENFORCED
from agent.node.node_features import engine_recurses
from agent.node.node_reference import node_reference
from agent.node.node_status import go_architecture
from agent.node.platforms import can_run
from agent.node.pod_preemptor import PodPreemptor
from agent.node.security_admission import SecurityPolicy
from agent.node.shutdown import NodeShutdown
from agent.pods.backoff import RestartBackoff
from agent.pods.container_configuration import StarterSettings
from agent.pods.container_start import ContainerStarter
from agent.pods.executor import PodExecutor
from agent.pods.field_reference import NodeFacts
from agent.pods.gc import GarbageCollector
from agent.pods.gpu_allocation import GpuAllocation
from agent.pods.hooks import HookRunner
from agent.pods.image_pull import ImagePulls
from agent.pods.pod_files import PodFiles
from agent.pods.pod_workers import PodWorkers
from agent.pods.probes import ProbeRunner
from agent.pods.runtime_class import RuntimeHandlers
from agent.pods.sandbox_start import SandboxSettings, SandboxStarter
from agent.pods.status_reporter import StatusReporter
from agent.pods.termination_message import TerminationMessages
from agent.pods.volume_refresh import VolumeRefresh
from agent.pods.worker_services import WorkerServices
from agent.runtime.images import ImagePuller
from agent.runtime.sysctls import SysctlAllowlist
from agent.runtime.translate import HostLimits
from agent.runtime.unsupported_fields import unsupported_fields
from agent.static_pods.manifest_directory import ManifestDirectory
from agent.static_pods.mirror_pods import MirrorPods
from agent.static_pods.pod_router import route_pods
from agent.static_pods.static_pods import StaticPods
from agent.volumes.protocol import ObjectSource, VolumeManager
from agent.volumes.volume_holders import VolumeHolders
from control.api.objects import Object, ReadOnlyObject
from control.client.informer import Informer

if TYPE_CHECKING:
    from agent.node_agent import NodeAgent


class PodParts:
    """Everything that Pods need, put together."""

    def __init__(self, agent: NodeAgent, *, network: PodNetwork, services: Informer, pause_image: str) -> None:
        host, runtime, cache, clock = agent.host, agent.runtime, agent.cache, agent.clock
        record = agent.recorder.record
        cgroups = host.choose_cgroups(agent.engine)
        if cgroups.is_enforcing:
            agent.registration.tell(ALLOCATABLE_ENFORCED)
        limits = _host_limits(agent)
        objects = ApiObjects(agent.client)
        volumes = _make_volumes(agent, objects, pause_image)
        files = PodFiles(agent.config.state_dir / "pods", host.make_network_files())
        pulled, pull_records = _image_records(agent)
        self.images = images = ImagePulls(runtime, _image_puller(agent, pulled, pull_records), clock)
        handlers = RuntimeHandlers(objects, agent.engine.runtimes)
        hooks = HookRunner(runtime, cache, clock, record, agent.address)
        self.reporter = reporter = StatusReporter(agent.client, clock)
        starter = ContainerStarter(
            runtime=runtime,
            cache=cache,
            images=images,
            volumes=volumes,
            files=files,
            objects=objects,
            services=lambda: list(services.store),
            hooks=hooks,
            handlers=handlers,
            record=record,
            link_log=host.link_log,
            clock=clock,
            settings=_starter_settings(agent, self, limits, cgroups),
        )
        sandboxes = _sandbox_starter(agent, network, cgroups, handlers, _sandbox_settings(agent, pause_image, limits))
        executor = PodExecutor(
            runtime=runtime, cache=cache, sandboxes=sandboxes, starter=starter, hooks=hooks, record=record, clock=clock
        )
        self.starts = executor.starts
        self.probes = probes = _make_probes(agent)
        admission = _make_admission(agent, self)
        shared = WorkerServices(
            cache=cache,
            executor=executor,
            probes=probes,
            backoff=RestartBackoff.with_maximum(agent.config.container_restart_seconds_max),
            reporter=reporter,
            images=images,
            volumes=volumes,
            files=files,
            messages=TerminationMessages(files, host.read_log_tail),
            clock=clock,
            record=record,
            unlink_logs=host.unlink_logs,
            host_ips=lambda: (agent.address(),),
            admit=admission.admit,
            judge_resize=admission.judge_resize,
            retry_resizes=lambda: self.workers.retry_resizes(),
            unsupported=_unsupported_fields(agent, cgroups),
        )
        self.workers = PodWorkers(cache, shared)
        self.mirrors = _make_mirrors(agent, reporter)
        self.static_pods = _static_pods(agent, self.workers, shared, self.mirrors)
        self.shutdown = _make_shutdown(agent, self.workers)
        self.garbage = _pod_garbage(agent, self.workers, volumes, files, network, cgroups)
        self.image_garbage = _image_garbage(agent, pulled, pull_records, pause_image)
        self.measuring = _make_measuring(agent, volumes)
        self.evictor = _make_evictor(agent, self)
        self.volume_refresh = VolumeRefresh(volumes, objects, self.workers.admitted_pods, clock, record)
        self.on_pod_change = route_pods(pods=self._on_own_pod_change, mirrors=self.mirrors.on_pod_change)

    def _on_own_pod_change(self, old: Object | None, new: Object | None) -> None:
        self.workers.on_pod_change(old, new)
        self.volume_refresh.on_pod_change(old, new)


def _make_mirrors(agent: NodeAgent, reporter: StatusReporter) -> MirrorPods:
    return MirrorPods(agent.client, reporter, node=lambda: agent.registration.node, clock=agent.clock)


def _static_pods(
    agent: NodeAgent, workers: PodWorkers, shared: WorkerServices, mirrors: MirrorPods
) -> StaticPods | None:
    """The Pods of the manifests' directory, None where there is no such directory."""
    config = agent.config
    if config.pod_manifest_path is None:
        return None
    node = node_reference(config.node_name)
    directory = ManifestDirectory(
        config.pod_manifest_path,
        node_name=config.node_name,
        shares_processes=config.static_pods_share_processes,
        clock=agent.clock,
        report=lambda problem: agent.recorder.record(node, "Warning", "InvalidStaticPod", problem),
    )
    services = replace(shared, reporter=mirrors)
    return StaticPods(directory, workers=workers, services=services, mirrors=mirrors, clock=agent.clock)


def _make_probes(agent: NodeAgent) -> ProbeRunner:
    return ProbeRunner(
        agent.host.make_probe_attempt(agent.runtime),
        clock=agent.clock,
        random=agent.random,
        record=agent.recorder.record,
        host_ip=agent.address,
    )


def _host_limits(agent: NodeAgent) -> HostLimits:
    return HostLimits(
        memory_bytes=agent.engine.memory_bytes,
        can_lower_oom_score=agent.host.can_lower_oom_score(),
        engine_recurses=engine_recurses(agent.engine),
        pids_max=agent.config.pod_pids_max,
    )


def _make_admission(agent: NodeAgent, parts: PodParts) -> NodeAdmission:
    preemptor = PodPreemptor(
        fail=lambda uid, rejection: parts.workers.fail(uid, rejection),
        is_released=lambda uid: parts.workers.is_released(uid),
        record=agent.recorder.record,
        clock=agent.clock,
    )
    return NodeAdmission(
        lambda: agent.registration.node,
        lambda: parts.workers.admitted_pods(),
        _security_policy(agent),
        pressures=lambda: parts.evictor.conditions,
        preempt=preemptor.preempt,
        judge_shutdown=lambda pod: parts.shutdown.judge(pod),
    )


def _make_shutdown(agent: NodeAgent, workers: PodWorkers) -> NodeShutdown:
    def announce() -> None:
        node = node_reference(agent.config.node_name)
        agent.recorder.record(node, "Normal", "Shutdown", "Shutdown manager detected shutdown event")
        agent.registration.wake()

    return NodeShutdown(
        pods=workers.evictable_pods,
        fail=workers.fail,
        is_released=workers.is_released,
        announce=announce,
        clock=agent.clock,
    )


def _make_measuring(agent: NodeAgent, volumes: VolumeManager) -> UseMeasuring:
    return UseMeasuring(
        runtime=agent.runtime,
        cache=agent.cache,
        local_directories=volumes.local_directories,
        files=agent.host,
        clock=agent.clock,
    )


def _make_evictor(agent: NodeAgent, parts: PodParts) -> PodEvictor:
    workers, measuring = parts.workers, parts.measuring

    async def observe_allocatable_memory() -> Observation | None:
        reserved = agent.config.reservations.of("memory")
        if not reserved:
            return None
        capacity = agent.engine.memory_bytes - reserved
        used = await measuring.memory_bytes(list(workers.admitted_pods()))
        return Observation(available=max(0, capacity - used), capacity=capacity)

    services = EvictionServices(
        read_usage=lambda: agent.host.read_usage(agent.engine),
        observe_allocatable_memory=observe_allocatable_memory,
        pods=workers.evictable_pods,
        measure_files=measuring.measure_files,
        measure_all=measuring.measure_all,
        fail=workers.fail,
        is_released=workers.is_released,
        reclaim_disk=(workers.remove_dead_containers, partial(parts.image_garbage.collect_now, sys.maxsize)),
        take_turn=agent.host.take_eviction_turn,
        record=agent.recorder.record,
        record_of_node=partial(agent.recorder.record, node_reference(agent.config.node_name)),
        on_change=agent.registration.wake,
        clock=agent.clock,
    )
    return PodEvictor(agent.config.eviction, services)


def _unsupported_fields(agent: NodeAgent, cgroups: PodCgroups) -> Callable[[ReadOnlyObject], list[str]]:
    return partial(
        unsupported_fields,
        has_selinux=agent.engine.selinux,
        has_pod_cgroups=cgroups.is_enforcing,
        limits_huge_pages=cgroups.limits_huge_pages,
    )


def _make_volumes(agent: NodeAgent, objects: ObjectSource, pause_image: str) -> VolumeManager:
    holders = VolumeHolders(agent.runtime, agent.owner, pause_image)
    return agent.host.make_volumes(objects, agent.clock, lambda: agent.registration.node, agent.engine, holders)


def _starter_settings(agent: NodeAgent, parts: PodParts, limits: HostLimits, cgroups: PodCgroups) -> StarterSettings:
    allocation = GpuAllocation(agent.gpus, agent.cache, lambda: parts.workers.admitted_pods())
    return StarterSettings(
        owner=agent.owner,
        host=limits,
        node_facts=lambda: NodeFacts.of(agent.registration.node),
        host_ip=agent.address,
        security_files=agent.host.make_security_files(),
        cgroup_parent=cgroups.parent,
        allocate_gpus=allocation.allocate,
        seccomp_default=agent.config.seccomp_default,
    )


def _security_policy(agent: NodeAgent) -> SecurityPolicy:
    config = agent.config
    return SecurityPolicy(
        sysctls=SysctlAllowlist.of(config.allowed_unsafe_sysctls, agent.engine.kernel_version), features=agent.features
    )


def _sandbox_starter(
    agent: NodeAgent,
    network: PodNetwork,
    cgroups: PodCgroups,
    handlers: RuntimeHandlers,
    settings: SandboxSettings,
) -> SandboxStarter:
    return SandboxStarter(
        runtime=agent.runtime,
        network=network,
        cgroups=cgroups,
        cache=agent.cache,
        handlers=handlers,
        record=agent.recorder.record,
        clock=agent.clock,
        settings=settings,
    )


def _sandbox_settings(agent: NodeAgent, pause_image: str, limits: HostLimits) -> SandboxSettings:
    return SandboxSettings(
        owner=agent.owner,
        pause_image=pause_image,
        host=limits,
        node_ip=agent.address,
        cluster_domain=agent.config.cluster_domain,
    )


def _pod_garbage(
    agent: NodeAgent,
    workers: PodWorkers,
    volumes: VolumeManager,
    files: PodFiles,
    network: PodNetwork,
    cgroups: PodCgroups,
) -> GarbageCollector:
    return GarbageCollector(
        cache=agent.cache,
        volumes=volumes,
        files=files,
        network=network,
        cgroups=cgroups,
        workers=workers,
        sweep_log_links=agent.host.sweep_log_links,
        clock=agent.clock,
    )


def _image_records(agent: NodeAgent) -> tuple[PulledImages, PullRecords]:
    directory = agent.config.state_dir
    return PulledImages(directory), PullRecords(directory, agent.config.images.verification)


def _image_puller(agent: NodeAgent, pulled: PulledImages, pull_records: PullRecords) -> ImagePuller:
    architecture = go_architecture(agent.engine.architecture)
    return ImagePuller(
        runtime=agent.runtime,
        pulled=pulled,
        credential_records=pull_records,
        clock=agent.clock,
        limits=agent.config.images.pulls,
        platform=f"linux/{architecture}",
        can_run=lambda platform: can_run(platform, architecture),
    )


def _image_garbage(agent: NodeAgent, pulled: PulledImages, pull_records: PullRecords, pause_image: str) -> ImageGarbage:
    def disk() -> DiskState:
        usage = agent.host.read_usage(agent.engine)
        return DiskState(
            capacity_bytes=usage.image_disk.capacity_bytes, available_bytes=usage.image_disk.available_bytes
        )

    return ImageGarbage(
        runtime=agent.runtime,
        pulled=pulled,
        pull_records=pull_records,
        policy=agent.config.images.garbage,
        disk=disk,
        is_mounted=agent.host.is_image_mounted,
        pause_image=pause_image,
        record=partial(agent.recorder.record, node_reference(agent.config.node_name)),
        clock=agent.clock,
    )
