"""The host seam: what an agent uses of its machine besides the engine. `LinuxHost` is the real one.

Whoever builds a `NodeAgent` chooses the host; on another one the same agent runs where there is no machine to change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from agent.cgroups.choice import choose_cgroups, foreign_namespace_obstacle
from agent.cgroups.layout import CgroupLayout
from agent.cgroups.protocol import PodCgroups
from agent.cgroups.tree import LinuxCgroupTree
from agent.config import AgentConfig
from agent.network.pod_network import choose_network, native_obstacle, observe_agent
from agent.network.protocol import PodNetwork
from agent.network.resolver import ClusterDns
from agent.node.eviction.pod_usage import NO_FILES, FileUsage
from agent.node.file_usage import measure_directory, measure_files
from agent.node.host_facts import HostFacts, HostUsage, read_host_facts, read_host_usage, read_huge_pages
from agent.node.node_features import engine_recurses
from agent.node_lock import take_eviction_turn
from agent.pod_network_files import PodNetworkFiles, read_log_tail
from agent.pods.container_configuration import SecurityFiles
from agent.pods.pod_files import NetworkFiles
from agent.pods.probe_attempt import NetworkProbeAttempt, ProbeAttempt
from agent.runtime.identity import parse_identity
from agent.runtime.log_files import log_files
from agent.runtime.log_links import LogLinks
from agent.runtime.protocol import ContainerRecord, EngineInfo, Runtime
from agent.security_files import HostSecurityFiles
from agent.volumes.image import is_image_mounted
from agent.volumes.mounting import can_mount, has_mount_attributes
from agent.volumes.pod_volumes import PodVolumes
from agent.volumes.protocol import ObjectSource, VolumeManager
from agent.volumes.volume_holders import VolumeHolders
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject


class Host(Protocol):
    """A machine as the agent sees it."""

    def read_facts(self) -> HostFacts:
        """What does not change while the agent runs."""
        ...

    def read_usage(self, engine: EngineInfo) -> HostUsage:
        """What is free now."""
        ...

    def can_lower_oom_score(self) -> bool:
        """Whether the engine may lower oom_score_adj."""
        ...

    def choose_network(self, engine: EngineInfo) -> PodNetwork:
        """The way Pods are wired here. Raises NetworkError where there is none."""
        ...

    def choose_cgroups(self, engine: EngineInfo) -> PodCgroups:
        """The Pods' cgroups, or what stands in for them."""
        ...

    def make_volumes(
        self,
        objects: ObjectSource,
        clock: Clock,
        node: Callable[[], ReadOnlyObject | None],
        engine: EngineInfo,
        holders: VolumeHolders,
    ) -> VolumeManager:
        """The Pods' volumes."""
        ...

    def make_network_files(self) -> NetworkFiles:
        """The Pods' /etc/hosts and the like."""
        ...

    def make_security_files(self) -> SecurityFiles:
        """What security contexts refer to on this machine."""
        ...

    def make_probe_attempt(self, runtime: Runtime) -> ProbeAttempt:
        """How a probe is tried."""
        ...

    def is_image_mounted(self, layers: Sequence[str]) -> bool:
        """Whether an image volume of any node of this machine shows an image of these layers, the topmost first."""
        ...

    def read_log_tail(self, log_path: str, lines: int) -> str:
        """The last lines of a dead container's log. Blocking."""
        ...

    def measure_directory(self, directory: str) -> FileUsage:
        """Everything below a directory. Blocking; raises OSError."""
        ...

    def measure_log(self, log_path: str) -> FileUsage:
        """The files of a container's log. Blocking."""
        ...

    def take_eviction_turn(self) -> AbstractContextManager[bool]:
        """The right to evict among the nodes of this machine, or False."""
        ...

    def link_log(self, record: ContainerRecord) -> None:
        """Make the links that log collectors look for."""
        ...

    def unlink_logs(self, pod: ReadOnlyObject) -> None:
        """Remove the links of a Pod that is gone."""
        ...

    def sweep_log_links(self) -> None:
        """Remove the links of containers that are gone. Blocking."""
        ...


class LinuxHost:
    """This machine."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._log_links = LogLinks()

    def read_facts(self) -> HostFacts:
        """Identifiers and names, from files; and what the agent may do beside the engine."""
        shares_mounts = can_mount()
        return replace(
            read_host_facts(),
            can_recurse=shares_mounts and has_mount_attributes(),
            sees_engine_files=shares_mounts,
        )

    def read_usage(self, engine: EngineInfo) -> HostUsage:
        """Disk, memory and pids, from the kernel."""
        return read_host_usage(engine.root_dir, self._config.state_dir)

    def can_lower_oom_score(self) -> bool:
        """Where CAP_SYS_RESOURCE is missing, runc refuses containers that ask for it."""
        for name in ("/run/docker.pid", "/var/run/docker.pid"):
            with suppress(OSError, ValueError):
                return _has_sys_resource(Path(f"/proc/{int(Path(name).read_text())}/status"), "CapEff:")
        with suppress(OSError, ValueError):
            return _has_sys_resource(Path("/proc/self/status"), "CapBnd:")
        return True

    def choose_network(self, engine: EngineInfo) -> PodNetwork:
        """As `--network` says and this process may."""
        config = self._config
        return choose_network(
            config.network,
            agent=observe_agent(),
            engine=engine,
            cluster=config.cluster,
            cluster_cidr=config.cluster_cidr,
            ports_on_loopback=config.ports_on_loopback,
        )

    def choose_cgroups(self, engine: EngineInfo) -> PodCgroups:
        """The kernel's, where this process is root beside the engine."""
        config = self._config
        return choose_cgroups(
            LinuxCgroupTree(),
            CgroupLayout(cluster=config.cluster, node=config.node_name),
            engine=engine,
            obstacle=native_obstacle(observe_agent(), engine) or foreign_namespace_obstacle(),
            pids_max=config.pod_pids_max,
            page_sizes=read_huge_pages(),
            reservations=config.reservations,
        )

    def make_volumes(
        self,
        objects: ObjectSource,
        clock: Clock,
        node: Callable[[], ReadOnlyObject | None],
        engine: EngineInfo,
        holders: VolumeHolders,
    ) -> VolumeManager:
        """Directories under the agent's state directory."""
        return PodVolumes(
            root=self._config.pod_volumes_root,
            objects=objects,
            clock=clock,
            local_root=self._config.volume_root,
            node=node,
            engine_recurses=engine_recurses(engine),
            holders=holders,
        )

    def make_network_files(self) -> NetworkFiles:
        """Files that containers bind-mount."""
        return PodNetworkFiles(ClusterDns(domain=self._config.cluster_domain, addresses=self._config.cluster_dns))

    def make_security_files(self) -> SecurityFiles:
        """Seccomp profiles below the configured root, accounts in the engine's layers."""
        return HostSecurityFiles(self._config.seccomp_profile_root)

    def make_probe_attempt(self, runtime: Runtime) -> ProbeAttempt:
        """Over sockets and the engine."""
        return NetworkProbeAttempt(runtime)

    def is_image_mounted(self, layers: Sequence[str]) -> bool:
        """As the kernel's table of mounts says: the engine does not know of image volumes."""
        return is_image_mounted(layers)

    def read_log_tail(self, log_path: str, lines: int) -> str:
        """From the file of Docker's log driver."""
        return read_log_tail(log_path, lines)

    def measure_directory(self, directory: str) -> FileUsage:
        """As du does."""
        return measure_directory(directory)

    def measure_log(self, log_path: str) -> FileUsage:
        """With those that were rotated away."""
        return measure_files([str(path) for path in log_files(Path(log_path))]) if log_path else NO_FILES

    def take_eviction_turn(self) -> AbstractContextManager[bool]:
        """By a lock that leaves nothing behind."""
        return take_eviction_turn()

    def link_log(self, record: ContainerRecord) -> None:
        """In /var/log, where the host lets us."""
        identity = parse_identity(record.labels)
        if identity is not None and record.log_path:
            with suppress(OSError):
                self._log_links.link(identity, record)

    def unlink_logs(self, pod: ReadOnlyObject) -> None:
        """In /var/log, where the host lets us."""
        metadata = pod["metadata"]
        with suppress(OSError):
            self._log_links.remove_pod(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])

    def sweep_log_links(self) -> None:
        """In /var/log, where the host lets us."""
        with suppress(OSError):
            self._log_links.sweep()


def _has_sys_resource(status: Path, line_name: str) -> bool:
    for line in status.read_text().splitlines():
        if line.startswith(line_name):
            return bool(int(line.split()[1], 16) >> 24 & 1)
    return True
