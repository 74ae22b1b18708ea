"""The Pod network seam: how a sandbox gets its address (`native` and, with the network issue, `docker` and `cni`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agent.runtime.protocol import CreateBody

if TYPE_CHECKING:
    import asyncio


class NetworkError(Exception):
    """Wiring a sandbox failed; the message says what and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodAddress:
    """The address of a Pod, chosen before its sandbox is created and kept as a label of the pause container."""

    ip: str
    node_ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMapping:
    """A port of the host that leads to one of the Pod's. Without `host_ip` it is a port of the node."""

    host_port: int
    container_port: int
    protocol: str = "TCP"
    host_ip: str = ""


class PodNetwork(Protocol):
    """One way to wire sandboxes."""

    async def prepare_node(self, pod_cidr: str) -> str:
        """Make the node's own address and rules; idempotent. Returns the node IP (10.244.N.1 natively)."""
        ...

    def choose_address(self, used: frozenset[str]) -> PodAddress:
        """Choose a free address. `used` are the addresses that existing sandboxes carry in their labels."""
        ...

    def configure_sandbox(self, body: CreateBody, address: PodAddress) -> None:
        """Add to the pause container's create body what this wiring needs (mode, capabilities, arguments)."""
        ...

    async def attach(
        self, sandbox_pid: int, address: PodAddress, sysctls: dict[str, str], host_ports: Sequence[PortMapping] = ()
    ) -> Sequence[str]:
        """Wire a started sandbox; idempotent. Returns only when its namespace is its own. Raises NetworkError.

        What the Pod can do without and does not get is returned, worded for its owner.
        """
        ...

    async def find_port_clashes(self, host_ports: Sequence[PortMapping]) -> Sequence[str]:
        """Which of these ports of the host somebody listens on, worded for the owner of a Pod that wants them."""
        ...

    async def detach(self, address: PodAddress) -> None:
        """Remove what `attach` left on the host; idempotent."""
        ...

    async def collect_garbage(self, used: frozenset[str]) -> None:
        """Remove links and routes of addresses that no sandbox carries."""
        ...

    async def remove_node(self) -> None:
        """Remove everything that `prepare_node` made; idempotent."""
        ...


class PodDialer(Protocol):
    """A way to the ports of a Pod's own loopback."""

    async def dial(
        self, sandbox_id: str, sandbox_pid: int, port: int, *, host_network: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to localhost:port as seen by the Pod. Raises NetworkError."""
        ...
