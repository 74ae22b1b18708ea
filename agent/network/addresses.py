"""Which address a Pod or node gets, what its links are called, and whether a range is free. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.network.netlink import Route

LINK_NAME_LENGTH_MAX = 15
CLUSTER_PREFIX_LENGTH = 16


def node_address(pod_cidr: str) -> str:
    """The node's own address: the first of its Pod range."""
    return str(IPv4Network(pod_cidr)[1])


def surrounding_range(pod_cidr: str) -> str:
    """The range of all Pods, guessed from one node's: Kubernetes' usual sizes are a /24 of a /16."""
    network = IPv4Network(pod_cidr)
    return str(network.supernet(new_prefix=min(CLUSTER_PREFIX_LENGTH, network.prefixlen)))


def choose_pod_ip(pod_cidr: str, used: frozenset[str], *, after: str = "") -> str | None:
    """The next free address of the range, or None when it is full.

    The search starts after the address given out last, so that a freed address rests as long as possible: its former
    peers would otherwise talk to the wrong Pod.
    """
    network = IPv4Network(pod_cidr)
    first, last = int(network.network_address) + 2, int(network.broadcast_address) - 1
    count = last - first + 1
    if count <= 0:
        return None
    start = int(IPv4Address(after)) + 1 if after and IPv4Address(after) in network else first
    for step in range(count):
        candidate = str(IPv4Address(first + (start - first + step) % count))
        if candidate not in used:
            return candidate
    return None


def cluster_tag(cluster: str) -> str:
    """Four characters that tell the links of one cluster from those of another on the same host."""
    return hashlib.sha256(cluster.encode()).hexdigest()[:4]


def pod_link_name(cluster: str, pod_ip: str) -> str:
    """Name of the host's end of a Pod's veth: `pod<cluster><address in hex>`, all a link name can hold."""
    return f"pod{cluster_tag(cluster)}{int(IPv4Address(pod_ip)):08x}"


def node_link_name(cluster: str, node_ip: str) -> str:
    """Name of the link that holds a node's address."""
    return f"nod{cluster_tag(cluster)}{int(IPv4Address(node_ip)):08x}"


def parse_link_name(cluster: str, name: str) -> tuple[str, str] | None:
    """Read back (`pod` or `nod`, address) of a link of this cluster; None for any other link."""
    parsed = _parse_any_link_name(name)
    return (parsed[0], parsed[2]) if parsed is not None and parsed[1] == cluster_tag(cluster) else None


def _parse_any_link_name(name: str) -> tuple[str, str, str] | None:
    """(`pod` or `nod`, cluster tag, address) of a link of any cluster."""
    if len(name) != LINK_NAME_LENGTH_MAX or name[:3] not in ("pod", "nod"):
        return None
    try:
        int(name[3:7], 16)
        return name[:3], name[3:7], str(IPv4Address(int(name[7:], 16)))
    except ValueError:
        return None


def pod_hardware_address(pod_ip: str) -> str:
    """A stable, locally administered MAC address for the Pod's end."""
    return "0a:58:" + ":".join(f"{byte:02x}" for byte in IPv4Address(pod_ip).packed)


def find_overlap(
    cidr: str, routes: Iterable[Route], link_names: Mapping[int, str], *, cluster: str
) -> tuple[IPv4Network, str] | None:
    """The first route of the host that overlaps the range and is not this cluster's, with its link's name.

    The default route overlaps everything and claims nothing. A node of another cluster claims its range by its own
    address, also while it has no Pods and so no routes.
    """
    network = IPv4Network(cidr)
    for route in routes:
        if not route.destination.prefixlen or not route.destination.overlaps(network):
            continue
        name = link_names.get(route.link_index, "?")
        if parse_link_name(cluster, name) is None:
            return route.destination, name
    for name in link_names.values():
        parsed = _parse_any_link_name(name)
        if parsed is not None and parsed[1] != cluster_tag(cluster) and IPv4Address(parsed[2]) in network:
            return IPv4Network(parsed[2]), name
    return None
