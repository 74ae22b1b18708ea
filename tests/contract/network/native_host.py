"""A node whose sandboxes are wired natively, on the real kernel and engine."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.network.native import NativeNetwork
from agent.network.netlink import Netlink
from agent.network.protocol import PodAddress, PortMapping
from agent.runtime.docker_runtime import DockerRuntime
from agent.runtime.translate import HostLimits, SandboxRequest, sandbox_create_body
from tests.fakes.docker_images import BUSYBOX_IMAGE, PAUSE_IMAGE
from tests.own_ports import WORKER_NUMBER

#: One for each process of tests, and none that `podling up` takes before many others: a host has one owner of a range.
CLUSTER_CIDR = f"10.{192 + WORKER_NUMBER % 6}.0.0/16"
_NODE_NUMBER = random.randrange(254)
NODE_CIDR, OTHER_NODE_CIDR = (CLUSTER_CIDR.replace("0.0/16", f"{_NODE_NUMBER + more}.0/24") for more in (0, 1))
LABEL = "io.podling.test"


@dataclass
class Host:
    """A node whose sandboxes are wired natively; everything it makes is removed with it."""

    runtime: DockerRuntime
    network: NativeNetwork
    cluster: str
    node_ip: str = ""
    used: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL: self.cluster}

    async def start_sandbox(self, *, command: list[str] | None = None) -> tuple[str, int, PodAddress]:
        """(id, pid, address) of a started sandbox that is not wired yet."""
        pod = {"metadata": {"name": "web", "namespace": "default", "uid": "u"}, "spec": {}}
        limits = HostLimits(memory_bytes=1 << 30, can_lower_oom_score=False)
        body = sandbox_create_body(SandboxRequest(pod=pod, image=PAUSE_IMAGE, labels=self.labels, host=limits))
        address = self.network.choose_address(frozenset(self.used))
        self.used.add(address.ip)
        self.network.configure_sandbox(body, address)
        if command is not None:
            body["Cmd"] = command
        sandbox_id = await self.runtime.create_container(f"{self.cluster}-{len(self.used)}", body)
        await self.runtime.start_container(sandbox_id)
        return sandbox_id, (await self.runtime.inspect_container(sandbox_id)).pid, address

    async def start_pod(
        self, *command: str, sysctls: dict[str, str] | None = None, ports: Sequence[PortMapping] = ()
    ) -> tuple[str, PodAddress]:
        """(container id, address) of a wired sandbox with one busybox in it."""
        sandbox_id, pid, address = await self.start_sandbox()
        self.problems += await self.network.attach(pid, address, sysctls or {}, ports)
        joined = f"container:{sandbox_id}"
        body = {
            "Image": BUSYBOX_IMAGE,
            "Cmd": list(command),
            "Labels": self.labels,
            "HostConfig": {"NetworkMode": joined, "IpcMode": joined, "PidMode": joined},
        }
        container_id = await self.runtime.create_container(f"{self.cluster}-c{len(self.used)}", body)
        await self.runtime.start_container(container_id)
        return container_id, address

    async def run(self, container_id: str, command: str) -> tuple[int, str]:
        """(exit code, output) of a shell command in the container."""
        result = await self.runtime.run_exec(container_id, ["sh", "-c", command], timeout_seconds=60)
        return result.exit_code, result.output.decode()

    def links(self) -> set[str]:
        with Netlink() as netlink:
            return {link.name for link in netlink.list_links()}
