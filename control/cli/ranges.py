"""Which ports and address ranges a new cluster takes: the first that nobody uses, then kept for its life. Pure choices
over observed facts, and the observation of the host beside them."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

from control.cli.failure import CommandError

API_PORT_FIRST = 6443
AGENT_PORT_FIRST = 10250
PORTS_TRIED_MAX = 1000
POD_RANGE_FIRST = "10.244.0.0/16"
SERVICE_RANGE_FIRST = "10.96.0.0/16"
RANGES_TRIED_MAX = 8


def choose_port(first: int, taken: Iterable[int], is_free: Callable[[int], bool]) -> int:
    """Return the first port from `first` on that no cluster has taken and that is free on the host."""
    reserved = set(taken)
    for port in range(first, first + PORTS_TRIED_MAX):
        if port not in reserved and is_free(port):
            return port
    raise CommandError(f"no free port from {first} to {first + PORTS_TRIED_MAX - 1}", "end what listens there")


def choose_range(first: str, taken: Iterable[str]) -> str:
    """Return the first range of the size of `first`, counting up, that overlaps none of `taken`."""
    network = ipaddress.IPv4Network(first)
    used = [ipaddress.IPv4Network(item) for item in taken]
    for _ in range(RANGES_TRIED_MAX):
        if not any(network.overlaps(item) for item in used):
            return str(network)
        network = ipaddress.IPv4Network((int(network.broadcast_address) + 1, network.prefixlen))
    raise CommandError(f"every range from {first} on overlaps a route of this host", "pass --pod-cidr/--service-cidr")


def find_overlap(wanted: str, taken: Iterable[str]) -> str | None:
    """Return the first of `taken` that overlaps the wanted range, or None."""
    network = ipaddress.IPv4Network(wanted)
    return next((item for item in taken if network.overlaps(ipaddress.IPv4Network(item))), None)


def parse_routes(table: str) -> list[str]:
    """Parse /proc/net/route into IPv4 ranges; the default route is left out as it overlaps everything."""
    ranges = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8:
            continue
        address = int.from_bytes(bytes.fromhex(fields[1]), "little")
        mask = int.from_bytes(bytes.fromhex(fields[7]), "little")
        if mask:
            ranges.append(str(ipaddress.IPv4Network((address, mask.bit_count()))))
    return ranges


def parse_local_addresses(tree: str) -> list[str]:
    """Parse /proc/net/fib_trie into the host's own IPv4 addresses, as /32 ranges; each once."""
    addresses = []
    lines = tree.splitlines()
    for line, following in pairwise(lines):
        if "/32 host LOCAL" in following and line.lstrip().startswith("|--"):
            addresses.append(f"{line.split()[-1]}/32")
    return list(dict.fromkeys(addresses))


def observe_routes() -> list[str]:
    """IPv4 ranges this host routes or has an address in; empty where /proc is not Linux's.

    A node's own address has no route in the main table: the cluster of another data directory shows by it alone.
    """
    try:
        routes = parse_routes(Path("/proc/net/route").read_text())
        return routes + parse_local_addresses(Path("/proc/net/fib_trie").read_text())
    except FileNotFoundError:
        return []


def is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a listener could be opened there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
