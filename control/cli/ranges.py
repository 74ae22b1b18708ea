"""Which ports and address ranges a new cluster takes: the first that nobody uses, then kept for its life. Pure choices
over observed facts, and the observation of the host beside them."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from control.cli.failure import CommandError
from control.cli.port_reservation import is_reserved

API_PORT_FIRST = 6443
AGENT_PORT_FIRST = 10250
PORTS_TRIED_MAX = 1000

# Where other software of a laptop rarely is, beginning with what kubeadm and flannel made customary. Left out are
# Docker's own pools (172.17-31 and 192.168), the beginning of 10, which networks at home and at work prefer, with k3s
# (10.42, 10.43) and podman (10.88, 10.89), and 100.64.0.0/10, whose use by Tailscale the main table of routes does not
# show. The last of each are for hosts whose VPN routes all of 10; 198.18.0.0/15 is no network's (RFC 2544).
POD_RANGES = (
    *(f"10.{number}.0.0/16" for number in (*range(244, 256), *range(243, 191, -1))),
    "172.16.0.0/16",
    "198.18.0.0/16",
)
SERVICE_RANGES = (*(f"10.{number}.0.0/16" for number in range(96, 160)), "198.19.0.0/16")


def choose_port(first: int, taken: Iterable[int], is_free: Callable[[int], bool]) -> int:
    """Return the first port from `first` on that no cluster has taken and that is free on the host."""
    reserved = set(taken)
    for port in range(first, first + PORTS_TRIED_MAX):
        if port not in reserved and is_free(port):
            return port
    raise CommandError(f"no free port from {first} to {first + PORTS_TRIED_MAX - 1}", "end what listens there")


def choose_range(candidates: Sequence[str], taken: Iterable[str]) -> str:
    """Return the first of the candidates that overlaps none of `taken`."""
    used = list(taken)
    for candidate in candidates:
        if find_overlap(candidate, used) is None:
            return candidate
    raise CommandError(
        f"all of {len(candidates)} ranges from {candidates[0]} to {candidates[-1]} overlap a route of this host",
        "pass --pod-cidr/--service-cidr",
    )


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
    """Whether a listener could be opened there now, and no cluster on this host will open one again in a moment."""
    if is_reserved(port):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
