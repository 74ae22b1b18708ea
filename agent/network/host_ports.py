"""The host ports of one node's Pods: claimed on the host, led to the Pods by rules, given up with them.

A claim is a socket of the agent's on the port. It makes clashes show where they arise, be it with a process of the
host, another node or another cluster, as Docker's `-p` does; no traffic reaches it, for the rules redirect before.
Rules outlive the agent and claims do not: after a restart both are made anew from the Pods that run.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from agent.network.addresses import node_address, pod_link_name
from agent.network.conntrack import forget_flows
from agent.network.host_port_rules import (
    PORTS_MAP,
    Place,
    find_listener,
    parse_bindings,
    plan_bindings,
    render_binding,
    render_chains,
    render_release,
)
from agent.network.nftables import apply_ruleset, list_map, table_name
from agent.network.protocol import NetworkError, PodAddress, PortMapping

SOCKET_TABLES = ("tcp", "tcp6", "udp", "udp6")


class PortTakenError(Exception):
    """Somebody else on this host has the port."""


class HostPorts:
    """Synchronous: the network's threads call it. `host_lock` is held while the shared rules are changed."""

    def __init__(
        self, *, cluster: str, on_loopback: bool, host_lock: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """`on_loopback`: ports without a hostIP are also bound on 127.0.0.1, which one node of a host can have."""
        self._cluster = cluster
        self._table = table_name(cluster)
        self._on_loopback = on_loopback
        self._host_lock = host_lock
        self._lock = threading.Lock()
        self._pod_cidr = ""
        self._node_ip = ""
        self._claims: dict[Place, socket.socket] = {}
        self._owners: dict[Place, str] = {}
        self._bound: set[str] = set()
        self._incomplete: dict[str, tuple[PodAddress, Sequence[PortMapping]]] = {}

    def prepare(self, pod_cidr: str) -> None:
        """Make the rules that all ports share, learn which Pods of this node have any. Call with the host's lock."""
        self._pod_cidr, self._node_ip = pod_cidr, node_address(pod_cidr)
        apply_ruleset(render_chains(self._table, self._cluster))
        self._bound = self._observe_own(pod_cidr)

    def bind(self, address: PodAddress, ports: Sequence[PortMapping]) -> list[str]:
        """Lead the ports to the Pod; idempotent. Returns what it does without. Raises NetworkError."""
        if not ports:
            return []
        plan = plan_bindings(ports, pod_ip=address.ip, node_ip=address.node_ip, on_loopback=self._on_loopback)
        with self._lock:
            refused: dict[Place, str] = {}
            for place in plan.bindings:
                try:
                    self._claim(place)
                except PortTakenError as error:
                    refused[place] = f"cannot bind host port {place}: {error}"
            wanted = {place: target for place, target in plan.bindings.items() if place not in refused}
            if fatal := [problem for place, problem in refused.items() if place not in plan.extra]:
                self._give_up([place for place in wanted if place not in self._owners])
                raise NetworkError(fatal[0])
            if any(place.is_loopback for place in wanted):
                _route_loopback(pod_link_name(self._cluster, address.ip))
            with self._host_lock():
                observed = parse_bindings(list_map(self._cluster, PORTS_MAP))
                apply_ruleset(render_binding(self._table, observed, wanted, node_ip=address.node_ip))
            self._owners.update(dict.fromkeys(wanted, address.ip))
            self._bound.add(address.ip)
            self._incomplete.pop(address.ip, None)
            if len(self._claims.keys() & plan.bindings) < len(plan.bindings):
                self._incomplete[address.ip] = address, ports
            _forget_flows(list(wanted))
        return list(refused.values())

    def release(self, pod_ip: str) -> None:
        """Give up the ports of a Pod; idempotent, and free for a Pod that has none."""
        if pod_ip in self._bound:
            self._release({pod_ip})

    def collect(self, wanted: frozenset[str]) -> None:
        """Give up the ports of Pods of this node that no longer exist; try again for what others did not get."""
        self._release(self._bound - wanted)
        for address, ports in list(self._incomplete.values()):
            self.bind(address, ports)

    def give_up_claims(self) -> None:
        """Leave the ports to others."""
        with self._lock:
            self._give_up(list(self._claims))

    def remove(self, pod_cidr: str) -> None:
        """Remove the rules of all Pods of a range, whose node goes. Call with the host's lock."""
        pod_ips = frozenset(self._observe_own(pod_cidr))
        if pod_ips:
            observed = parse_bindings(list_map(self._cluster, PORTS_MAP))
            apply_ruleset(render_release(self._table, observed, pod_ips, node_ip=node_address(pod_cidr)))

    def find_clashes(self, ports: Sequence[PortMapping]) -> list[str]:
        """Which ports somebody on the host listens on: for Pods in the host's network, which bind them themselves."""
        tables = _read_socket_tables()
        places = [
            Place(address=port.host_ip or "0.0.0.0", protocol=port.protocol.lower(), port=port.host_port)
            for port in ports
        ]
        return [
            f"host port {place.port}/{place.protocol.upper()} is in use on this host, whose nodes share its network"
            for place in places
            if find_listener(place, tables)
        ]

    def _release(self, pod_ips: set[str]) -> None:
        if not pod_ips:
            return
        with self._lock:
            with self._host_lock():
                observed = parse_bindings(list_map(self._cluster, PORTS_MAP))
                apply_ruleset(render_release(self._table, observed, frozenset(pod_ips), node_ip=self._node_ip))
            self._bound -= pod_ips
            for pod_ip in pod_ips:
                self._incomplete.pop(pod_ip, None)
            places = [place for place, owner in self._owners.items() if owner in pod_ips]
            self._give_up(places)
            _forget_flows([place for place, target in observed.items() if target.ip in pod_ips])

    def _observe_own(self, pod_cidr: str) -> set[str]:
        network = IPv4Network(pod_cidr)
        bindings = parse_bindings(list_map(self._cluster, PORTS_MAP))
        return {target.ip for target in bindings.values() if IPv4Address(target.ip) in network}

    def _claim(self, place: Place) -> None:
        """Take the port unless it is taken here already. Raises PortTakenError.

        A port whose number is just the local end of somebody's outgoing connection cannot be claimed and is not taken.
        """
        if place in self._claims:
            return
        try:
            self._claims[place] = _open_claim(place)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PortTakenError(os.strerror(error.errno or 0).lower()) from error
            if find_listener(place, _read_socket_tables()):
                raise PortTakenError("the port is in use on this host") from error

    def _give_up(self, places: list[Place]) -> None:
        for place in places:
            self._owners.pop(place, None)
            if (claim := self._claims.pop(place, None)) is not None:
                claim.close()


def _open_claim(place: Place) -> socket.socket:
    kind = socket.SOCK_STREAM if place.protocol == "tcp" else socket.SOCK_DGRAM
    claim = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC)
    try:
        if place.protocol == "tcp":
            # Former connections of the port are no obstacle; listening makes it one for others.
            claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        claim.bind((place.address, place.port))
        if place.protocol == "tcp":
            claim.listen(1)
    except OSError:
        claim.close()
        raise
    return claim


def _route_loopback(link_name: str) -> None:
    """Let packets of the host's loopback network take this link; the chain `guard` keeps the Pod from sending any."""
    Path(f"/proc/sys/net/ipv4/conf/{link_name}/route_localnet").write_text("1")


def _forget_flows(places: list[Place]) -> None:
    """UDP has no connections: what talked to the port before keeps its way until the kernel forgets it."""
    for place in places:
        if place.protocol == "udp":
            with suppress(OSError):  # a kernel without this interface lets flows time out
                forget_flows(place.address, place.port)


def _read_socket_tables() -> dict[str, list[str]]:
    tables = {}
    for name in SOCKET_TABLES:
        with suppress(OSError):
            tables[name] = Path(f"/proc/net/{name}").read_text().splitlines()
    return tables
