"""A host with nothing behind it: addresses without links, volumes without directories, probes that pass.

What survives the agent on a real host survives it here: mounted volumes, and the namespaces of running sandboxes.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from agent.cgroups.pod_cgroups import NoPodCgroups
from agent.network.protocol import NetworkError, PodAddress
from agent.node.eviction.pod_usage import NO_FILES, FileUsage
from agent.node.host_facts import DiskUsage, HostFacts, HostUsage
from agent.pods.probe_attempt import ProbeResult
from agent.runtime.protocol import ContainerRecord, EngineInfo
from agent.volumes.protocol import MountedVolume
from control.api.objects import ReadOnlyObject
from tests.fakes.agent_node import FakeNetwork, FakeNetworkFiles, FakeProbes, FakeSecurityFiles, FakeVolumes
from tests.simulation.engine import SimulatedEngine


class HollowHost:
    """Implements `agent.host.Host`."""

    def __init__(self, place: str, engine: SimulatedEngine) -> None:
        self.volumes = HollowVolumes()
        self._place = place
        self._engine = engine

    def read_facts(self) -> HostFacts:
        """Made up."""
        return HostFacts(machine_id=self._place, system_uuid="", boot_id="", os_image="Hollow", kernel_version="6.1")

    def read_usage(self, engine: EngineInfo) -> HostUsage:
        """Plenty of everything."""
        disk = DiskUsage(capacity_bytes=1 << 40, available_bytes=1 << 39)
        return HostUsage(node_disk=disk, image_disk=disk, memory_bytes=16 << 30, memory_available_bytes=8 << 30)

    def can_lower_oom_score(self) -> bool:
        """Yes."""
        return True

    def choose_network(self, engine: EngineInfo) -> HollowNetwork:
        """Addresses only."""
        return HollowNetwork(self._engine)

    def choose_cgroups(self, engine: EngineInfo) -> NoPodCgroups:
        """None."""
        return NoPodCgroups()

    def make_volumes(self, *arguments: Any) -> HollowVolumes:
        """Those that are mounted already."""
        return self.volumes

    def make_network_files(self) -> FakeNetworkFiles:
        """None."""
        return FakeNetworkFiles()

    def make_security_files(self) -> FakeSecurityFiles:
        """None."""
        return FakeSecurityFiles()

    def make_probe_attempt(self, runtime: Any) -> SlowProbes:
        """They pass."""
        return SlowProbes()

    def is_image_mounted(self, layers: Sequence[str]) -> bool:
        """Hollow volumes show nothing."""
        return False

    def read_log_tail(self, log_path: str, lines: int) -> str:
        """Programs here say nothing."""
        return ""

    def measure_directory(self, directory: str) -> FileUsage:
        """There are no files."""
        return NO_FILES

    def measure_log(self, log_path: str) -> FileUsage:
        """There is no log."""
        return NO_FILES

    def take_eviction_turn(self) -> AbstractContextManager[bool]:
        """Always ours."""
        return nullcontext(True)

    def link_log(self, record: ContainerRecord) -> None:
        """There is no log."""

    def unlink_logs(self, pod: ReadOnlyObject) -> None:
        """There is no log."""

    def sweep_log_links(self) -> None:
        """There is no log."""


class HollowVolumes(FakeVolumes):
    """Volumes that take a moment."""

    async def mount_all(self, *arguments: Any) -> Mapping[str, MountedVolume]:
        await asyncio.sleep(0.002)
        return await super().mount_all(*arguments)

    async def unmount_all(self, pod_uid: str) -> None:
        await asyncio.sleep(0.001)
        await super().unmount_all(pod_uid)


class HollowNetwork(FakeNetwork):
    """Gives addresses out of the node's range, in turn, as the native network does."""

    def __init__(self, engine: SimulatedEngine) -> None:
        super().__init__()
        self._engine = engine
        self._addresses: list[str] = []
        self._node_ip = ""
        self._promised: set[str] = set()
        self._last = 0

    async def prepare_node(self, pod_cidr: str) -> str:
        """The node has the first address of its range."""
        self._node_ip, *self._addresses = (str(address) for address in ipaddress.ip_network(pod_cidr).hosts())
        return self._node_ip

    def choose_address(self, used: frozenset[str]) -> PodAddress:
        """The next that is neither used nor promised."""
        self._promised -= used
        count = len(self._addresses)
        for offset in range(1, count + 1):
            number = (self._last + offset) % count
            ip = self._addresses[number]
            if ip not in used and ip not in self._promised:
                self._last = number
                self._promised.add(ip)
                return PodAddress(ip=ip, node_ip=self._node_ip)
        raise NetworkError("no address is left")

    async def attach(self, sandbox_pid: int, address: PodAddress, *rest: Any, **options: Any) -> Sequence[str]:
        """Wires a sandbox that runs."""
        await asyncio.sleep(0.005)
        if not any(record.pid == sandbox_pid for record in self._engine.running()):
            raise NetworkError(f"cannot wire the sandbox: process {sandbox_pid} is gone")
        return await super().attach(sandbox_pid, address, *rest, **options)

    async def detach(self, address: PodAddress) -> None:
        """The link went with the namespace."""
        self._promised.discard(address.ip)
        await super().detach(address)


class SlowProbes(FakeProbes):
    """Probes that take a moment."""

    async def probe(self, *arguments: Any) -> ProbeResult:
        await asyncio.sleep(0.003)
        return await super().probe(*arguments)
