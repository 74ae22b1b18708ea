"""Which ports of the host lead to which Pod, and the nft rules for it. Pure.

A host port is an element of a map in the cluster's own table, so that a Pod's coming and going touches nobody else's.
Where a port is bound: at `hostIP`, or without one at the node's own address and, on the node that has the host's
loopback, at 127.0.0.1. A packet to it is redirected before it is routed, wherever it comes from: another Pod, the host
itself, the Pod that owns the port.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.network.addresses import cluster_tag
from agent.network.protocol import PortMapping

LOOPBACK, LOOPBACK_NETWORK = "127.0.0.1", "127.0.0.0/8"
EVERY_ADDRESS = ("", "0.0.0.0")
PORTS_MAP, SOURCES_MAP = "host_ports", "host_port_sources"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a port is bound on the host. The protocol is in nft's spelling, `tcp` or `udp`."""

    address: str
    protocol: str
    port: int

    def __str__(self) -> str:
        return f"{self.port}/{self.protocol.upper()} on {self.address}"

    @property
    def is_loopback(self) -> bool:
        """Whether only the host itself can reach it."""
        return self.address.startswith("127.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where what arrives there goes."""

    ip: str
    port: int


Bindings = Mapping[Place, Target]


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingPlan:
    """The bindings of one Pod. Without those in `extra` the Pod runs all the same."""

    bindings: Bindings
    extra: frozenset[Place] = frozenset()


def plan_bindings(ports: Iterable[PortMapping], *, pod_ip: str, node_ip: str, on_loopback: bool) -> BindingPlan:
    """Where the ports of a Pod are bound. The loopback that nobody named is an addition, not a condition."""
    bindings: dict[Place, Target] = {}
    extra: set[Place] = set()
    for port in ports:
        target = Target(ip=pod_ip, port=port.container_port)
        everywhere = port.host_ip in EVERY_ADDRESS
        protocol, address = port.protocol.lower(), node_ip if everywhere else port.host_ip
        named = Place(address=address, protocol=protocol, port=port.host_port)
        bindings[named] = target
        extra.discard(named)
        if everywhere and on_loopback:
            local = Place(address=LOOPBACK, protocol=protocol, port=port.host_port)
            if local not in bindings:
                bindings[local] = target
                extra.add(local)
    return BindingPlan(bindings=bindings, extra=frozenset(extra))


def render_chains(table: str, cluster: str) -> str:
    """The maps, if they are missing, and the chains that read them; replaces these chains only.

    `guard`: a link that may carry packets of the host's loopback network (see `sysctl route_localnet`) must not become
    a way to it. Answers that are really on their way there carry the node's address while they pass the guard.
    """
    redirect = f"meta l4proto {{ tcp, udp }} dnat ip to ip daddr . meta l4proto . th dport map @{PORTS_MAP}"
    back = f"snat ip to ip saddr . ip daddr map @{SOURCES_MAP}"
    chains = {
        "host_ports_in": ("nat hook prerouting priority dstnat", [redirect]),
        "host_ports_local": ("nat hook output priority -100", [redirect]),
        "host_ports_out": ("nat hook postrouting priority srcnat", [back]),
        "guard": (
            "filter hook prerouting priority raw",
            [f'iifname "pod{cluster_tag(cluster)}*" ip daddr {LOOPBACK_NETWORK} drop'],
        ),
    }  # fmt: skip
    lines = [
        f"add table ip {table}",
        f"add map ip {table} {PORTS_MAP} {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service ; }}",
        f"add map ip {table} {SOURCES_MAP} {{ type ipv4_addr . ipv4_addr : ipv4_addr ; }}",
    ]
    for name, (hook, rules) in chains.items():
        lines += [
            f"add chain ip {table} {name} {{ type {hook}; policy accept; }}",
            f"flush chain ip {table} {name}",
            *(f"add rule ip {table} {name} {rule}" for rule in rules),
        ]
    return "\n".join(lines) + "\n"


def render_binding(table: str, observed: Bindings, wanted: Bindings, *, node_ip: str) -> str:
    """Lead the wanted places to the Pod, away from whoever had them before.

    A packet that comes back to the Pod that sent it, or that the host sent to its own loopback, takes the node's
    address as its source: else the answer would not pass the host again.
    """
    lines = []
    for place, target in wanted.items():
        if place in observed and observed[place] != target:
            lines.append(f"delete element ip {table} {PORTS_MAP} {{ {_key(place)} }}")
        if observed.get(place) != target:
            lines.append(f"add element ip {table} {PORTS_MAP} {{ {_key(place)} : {target.ip} . {target.port} }}")
    lines += [_sources(table, pod_ip, node_ip) for pod_ip in dict.fromkeys(target.ip for target in wanted.values())]
    return _text(lines)


def render_release(table: str, observed: Bindings, pod_ips: frozenset[str], *, node_ip: str) -> str:
    """Remove what leads to these Pods of a node."""
    lines = [
        f"delete element ip {table} {PORTS_MAP} {{ {_key(place)} }}"
        for place, target in observed.items()
        if target.ip in pod_ips
    ]
    for pod_ip in sorted(pod_ips):
        # Added first, so that deleting cannot fail.
        lines.append(_sources(table, pod_ip, node_ip))
        keys = ", ".join(f"{source} . {pod_ip}" for source in (pod_ip, LOOPBACK))
        lines.append(f"delete element ip {table} {SOURCES_MAP} {{ {keys} }}")
    return _text(lines)


def parse_bindings(listing: Mapping[str, Any]) -> dict[Place, Target]:
    """Read the map back from `nft -j list map`."""
    bindings = {}
    for item in listing.get("nftables", ()):
        for key, value in item.get("map", {}).get("elem", ()):
            address, protocol, port = key["concat"]
            ip, target_port = value["concat"]
            bindings[Place(address=address, protocol=protocol, port=port)] = Target(ip=ip, port=target_port)
    return bindings


def find_listener(place: Place, tables: Mapping[str, Sequence[str]]) -> bool:
    """Whether a socket of the host already has the place. `tables`: lines of /proc/net/{tcp,tcp6,udp,udp6} by name.

    Only who listens counts: the local end of an outgoing connection may have any port.
    """
    for name, lines in tables.items():
        if name.rstrip("6") != place.protocol:
            continue
        wanted_state = "0A" if place.protocol == "tcp" else "07"
        for line in lines[1:]:
            _, local, _, state = line.split()[:4]
            address, _, port = local.rpartition(":")
            if state == wanted_state and int(port, 16) == place.port and _covers(address, place.address):
                return True
    return False


def _covers(packed: str, address: str) -> bool:
    """Whether a socket bound to the address of a /proc/net table (hexadecimal, in host order) takes this address."""
    octets = bytes.fromhex(packed)[-4:][::-1]
    if len(packed) == 32 and packed.strip("0") and packed[:24] != "0000000000000000FFFF0000":
        return False  # an IPv6 address
    return octets == b"\0\0\0\0" or ".".join(map(str, octets)) == address or address in EVERY_ADDRESS


def _sources(table: str, pod_ip: str, node_ip: str) -> str:
    elements = ", ".join(f"{source} . {pod_ip} : {node_ip}" for source in (pod_ip, LOOPBACK))
    return f"add element ip {table} {SOURCES_MAP} {{ {elements} }}"


def _key(place: Place) -> str:
    return f"{place.address} . {place.protocol} . {place.port}"


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
