"""Native wiring: pause leaves the host's network by itself, and the agent connects it with a routed veth.

Used when the agent is root on the engine's own Linux host. Per Pod: one veth, the Pod's address as /32 with a default
route over a link-local gateway (169.254.1.1, known permanently by its hardware address: no ARP, no proxy_arp, no
bridge), and on the host a route to the address. Per node: its own address on an empty bridge (which every kernel that
runs Docker has; many lack dummy links). When pause dies the kernel removes namespace, veth and route.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import TypeVar

from agent.network.addresses import (
    choose_pod_ip,
    find_overlap,
    node_address,
    node_link_name,
    parse_link_name,
    pod_hardware_address,
    pod_link_name,
    surrounding_range,
)
from agent.network.host_ports import HostPorts
from agent.network.namespace import entered, open_own_namespace, write_sysctl
from agent.network.netlink import Netlink
from agent.network.nftables import (
    apply_ruleset,
    ensure_forwarding,
    remove_forwarding,
    render_masquerade,
    render_removal,
)
from agent.network.protocol import NetworkError, PodAddress, PortMapping
from agent.runtime.protocol import CreateBody

log = logging.getLogger(__name__)

T = TypeVar("T")

POD_LINK = "eth0"
GATEWAY = "169.254.1.1"
HOST_HARDWARE_ADDRESS = "ee:ee:ee:ee:ee:ee"
DEFAULT_MTU = 1500
UNSHARE_SECONDS_MAX = 10.0
# Docker's own default for containers: any user may listen on port 80.
DEFAULT_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0"}
# A lock without a file: the directory exists on every Linux, and nothing is left behind.
LOCK_DIRECTORY = "/run"


class NativeNetwork:
    """Implements `agent.network.protocol.PodNetwork` for one node."""

    def __init__(self, *, cluster: str, cluster_cidr: str, ports_on_loopback: bool = False) -> None:
        """`cluster_cidr` is the range of all Pods, empty if it is not known; what leaves it is masqueraded.

        `ports_on_loopback`: host ports are also bound on 127.0.0.1.
        """
        self._cluster = cluster
        self._ports = HostPorts(cluster=cluster, on_loopback=ports_on_loopback, host_lock=_host_lock)
        self._cluster_cidr = cluster_cidr
        self._pod_cidr = ""
        self._node_ip = ""
        self._mtu = DEFAULT_MTU
        self._last_ip = ""
        self._promised: set[str] = set()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="network")

    async def prepare_node(self, pod_cidr: str) -> str:
        """Make the node's own address and rules; idempotent. Returns the node IP."""
        self._pod_cidr, self._node_ip = pod_cidr, node_address(pod_cidr)
        self._cluster_cidr = self._cluster_cidr or surrounding_range(pod_cidr)
        if not IPv4Network(pod_cidr).subnet_of(IPv4Network(self._cluster_cidr)):
            raise NetworkError(f"cannot use Pod range {pod_cidr}: it is not part of {self._cluster_cidr}")
        await self._run(self._prepare_node)
        return self._node_ip

    def _prepare_node(self) -> None:
        with _host_lock(), Netlink() as netlink:
            names = {link.index: link.name for link in netlink.list_links()}
            routes = netlink.list_routes()
            overlap = find_overlap(self._pod_cidr, routes, names, cluster=self._cluster)
            if overlap is not None:
                raise NetworkError(
                    f"cannot use Pod range {self._pod_cidr}: the host routes {overlap[0]} over {overlap[1]}; "
                    "choose another range with --pod-cidr"
                )
            self._mtu = _uplink_mtu(netlink)
            link_name = node_link_name(self._cluster, self._node_ip)
            netlink.create_bridge(link_name)
            netlink.add_address(socket.if_nametoindex(link_name), self._node_ip)
            _enable_forwarding()
            apply_ruleset(render_masquerade(self._cluster, self._cluster_cidr))
            ensure_forwarding(self._cluster, self._cluster_cidr)
            self._ports.prepare(self._pod_cidr)

    def choose_address(self, used: frozenset[str]) -> PodAddress:
        """Choose a free address. One that was chosen stays taken until it is in use or detached."""
        self._promised -= used
        chosen = choose_pod_ip(self._pod_cidr, used | self._promised, after=self._last_ip)
        if chosen is None:
            self._promised.clear()  # promises of sandboxes that never came to be
            chosen = choose_pod_ip(self._pod_cidr, used, after=self._last_ip)
        if chosen is None:
            raise NetworkError(f"cannot give the Pod an address: no free one in {self._pod_cidr}")
        self._last_ip = chosen
        self._promised.add(chosen)
        return PodAddress(ip=chosen, node_ip=self._node_ip)

    def configure_sandbox(self, body: CreateBody, address: PodAddress) -> None:
        """Start pause in the host's network with the right to leave it, which it gives up together with all others.

        SETPCAP is there for giving up: the bounding set cannot be emptied without it. `NetworkDisabled` would give
        pause a namespace of its own for less, but leaves Docker without statistics of the containers that join it.
        """
        host_config = body["HostConfig"]
        host_config["NetworkMode"] = "host"
        host_config["CapAdd"] = [*host_config.get("CapAdd", ()), "SYS_ADMIN", "SETPCAP"]
        body["Cmd"] = ["--unshare-net"]

    async def attach(
        self, sandbox_pid: int, address: PodAddress, sysctls: dict[str, str], host_ports: Sequence[PortMapping] = ()
    ) -> Sequence[str]:
        """Wire a started sandbox; idempotent. Returns only when its namespace is its own."""

        def attach() -> list[str]:
            self._attach(sandbox_pid, address, {**DEFAULT_SYSCTLS, **sysctls})
            return self._ports.bind(address, host_ports)

        return await self._run(attach)

    async def find_port_clashes(self, host_ports: Sequence[PortMapping]) -> Sequence[str]:
        """Which of these ports somebody on the host listens on."""
        return await self._run(lambda: self._ports.find_clashes(host_ports))

    def _attach(self, sandbox_pid: int, address: PodAddress, sysctls: dict[str, str]) -> None:
        with open_own_namespace(sandbox_pid, deadline_seconds=UNSHARE_SECONDS_MAX) as namespace, Netlink() as host:
            with entered(namespace), Netlink() as inside:
                if not _has_link(POD_LINK) or not _exists_on_host(host, self._link_name(address)):
                    self._create_veth(host, namespace, address)
                _configure_inside(inside, address)
                for name, value in sysctls.items():
                    write_sysctl(name, value)
            index = socket.if_nametoindex(self._link_name(address))
            with host.together():
                host.add_neighbour(index, address.ip, pod_hardware_address(address.ip))
                # Probes and other traffic of the host reach the Pod from the node's address.
                host.replace_route(f"{address.ip}/32", index, source=address.node_ip)

    def _create_veth(self, host: Netlink, namespace: int, address: PodAddress) -> None:
        """The name may still be held by a Pod that had this address and whose namespace is being torn down."""
        name = self._link_name(address)
        create = partial(
            host.create_veth,
            name,
            POD_LINK,
            peer_namespace_fd=namespace,
            mtu=self._mtu,
            address=HOST_HARDWARE_ADDRESS,
            peer_address=pod_hardware_address(address.ip),
        )
        try:
            create()
        except FileExistsError:
            host.delete_link(name)
            create()

    async def detach(self, address: PodAddress) -> None:
        """Remove what `attach` left on the host; idempotent."""
        self._promised.discard(address.ip)

        def detach() -> None:
            self._ports.release(address.ip)
            self._delete_links([self._link_name(address)])

        await self._run(detach)

    async def collect_garbage(self, used: frozenset[str]) -> None:
        """Remove links and ports of addresses of this node's range that no sandbox carries or is about to use."""

        def collect() -> None:
            network = IPv4Network(self._pod_cidr)
            self._promised -= used
            wanted = used | self._promised | {self._node_ip}
            stale = [name for name, ip in self._own_links(network) if ip not in wanted]
            self._ports.collect(frozenset(wanted))
            self._delete_links(stale)
            if stale:
                log.info("Removed links that no Pod uses", extra={"links": stale})

        await self._run(collect)

    async def remove_node(self) -> None:
        """Remove the node's links, and with the cluster's last node on this host its rules; idempotent."""
        await self._run(self._remove_node)

    async def remove_cluster(self) -> None:
        """Remove all links and rules of the cluster on this host, whatever its ranges were; idempotent."""
        await self.remove_range("0.0.0.0/0")

    async def remove_range(self, pod_cidr: str) -> None:
        """Remove the cluster's links in a range, and its rules when no link is left on this host; idempotent."""
        self._pod_cidr, self._cluster_cidr = pod_cidr, "0.0.0.0/0"
        await self._run(self._remove_node)

    def _remove_node(self) -> None:
        with _host_lock():
            if self._pod_cidr:
                self._delete_links([name for name, _ in self._own_links(IPv4Network(self._pod_cidr))])
            if not self._own_links(IPv4Network(self._cluster_cidr)):
                apply_ruleset(render_removal(self._cluster))
                remove_forwarding(self._cluster)
            elif self._pod_cidr:
                self._ports.remove(self._pod_cidr)
        self._ports.give_up_claims()

    def _own_links(self, network: IPv4Network) -> list[tuple[str, str]]:
        """(name, address) of the links of this cluster whose address is in the network."""
        with Netlink() as netlink:
            named = [(link.name, parse_link_name(self._cluster, link.name)) for link in netlink.list_links()]
        return [(name, one[1]) for name, one in named if one and IPv4Network(one[1]).subnet_of(network)]

    def _delete_links(self, names: list[str]) -> None:
        with Netlink() as netlink:
            for name in names:
                netlink.delete_link(name)

    def _link_name(self, address: PodAddress) -> str:
        return pod_link_name(self._cluster, address.ip)

    async def _run(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        except OSError as error:
            raise NetworkError(f"cannot wire the network: {error.strerror or error}") from error


def _configure_inside(netlink: Netlink, address: PodAddress) -> None:
    index = socket.if_nametoindex(POD_LINK)
    with netlink.together():
        netlink.set_up("lo")
        netlink.set_up(POD_LINK)
        netlink.add_address(index, address.ip)
        netlink.add_neighbour(index, GATEWAY, HOST_HARDWARE_ADDRESS)
        netlink.replace_route(f"{GATEWAY}/32", index)
        netlink.replace_route("0.0.0.0/0", index, gateway=GATEWAY)


def _has_link(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def _exists_on_host(host: Netlink, name: str) -> bool:
    return any(link.name == name for link in host.list_links())


def _uplink_mtu(netlink: Netlink) -> int:
    """The MTU of the link of the default route, so that what Pods send needs no fragmenting."""
    mtus = {link.index: link.mtu for link in netlink.list_links()}
    defaults = [route.link_index for route in netlink.list_routes() if not route.destination.prefixlen]
    return next((mtus[index] for index in defaults if index in mtus), DEFAULT_MTU)


def _enable_forwarding() -> None:
    """Docker turns this on as well, and leaves it on, as we do: others on the host may have come to rely on it."""
    path = Path("/proc/sys/net/ipv4/ip_forward")
    if path.read_text().strip() != "1":
        path.write_text("1")


@contextlib.contextmanager
def _host_lock() -> Iterator[None]:
    """One agent at a time changes what the nodes of a host share."""
    descriptor = os.open(LOCK_DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
