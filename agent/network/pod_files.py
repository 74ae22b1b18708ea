"""The files of the agent that every container of a Pod sees as /etc/hosts, /etc/hostname and /etc/resolv.conf.

Written into the Pod's directory before its first container, and bind-mounted: Docker writes none of them for a
container that joins another one's network.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.network.resolver import (
    ClusterDns,
    Resolver,
    compute_resolver,
    format_host_network_hosts,
    format_hosts,
    format_resolver,
    parse_resolver,
    reachable_from_pods,
)
from agent.small_file import write_small_file
from agent.volumes.protocol import Mount
from control.api.objects import ReadOnlyObject

HOST_RESOLVER_PATH = Path("/etc/resolv.conf")
# Where systemd-resolved keeps the real servers when /etc/resolv.conf names only its stub on the loopback.
RESOLVED_PATH = Path("/run/systemd/resolve/resolv.conf")
HOST_HOSTS_PATH = Path("/etc/hosts")

HOSTS_FILE, HOSTNAME_FILE, RESOLVER_FILE = "etc-hosts", "etc-hostname", "resolv.conf"
CONTAINER_PATHS = {HOSTS_FILE: "/etc/hosts", HOSTNAME_FILE: "/etc/hostname", RESOLVER_FILE: "/etc/resolv.conf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodNames:
    """What a Pod is called: its hostname, the domain of its subdomain (or empty), and what the kernel says."""

    hostname: str
    domain: str
    kernel_hostname: str


def read_host_resolver(path: Path = HOST_RESOLVER_PATH, resolved_path: Path = RESOLVED_PATH) -> Resolver:
    """The host's resolver, with the servers behind a loopback stub where they are known."""
    resolver = parse_resolver(_read(path))
    if resolver.nameservers and not reachable_from_pods(resolver).nameservers:
        behind = parse_resolver(_read(resolved_path))
        if behind.nameservers:
            return behind
    return resolver


def write_pod_files(
    directory: Path,
    pod: ReadOnlyObject,
    *,
    names: PodNames,
    pod_ips: Sequence[str],
    host_resolver: Resolver,
    cluster: ClusterDns,
) -> None:
    """Write the files, in place where they exist: containers hold the inode. `directory` is the Pod's, which exists."""
    if pod["spec"].get("hostNetwork"):
        hosts = format_host_network_hosts(pod, _read(HOST_HOSTS_PATH))
        hostname = socket.gethostname()
    else:
        hosts = format_hosts(pod, pod_ips=pod_ips, hostname=names.hostname, domain=names.domain)
        hostname = names.kernel_hostname
    texts = {
        HOSTS_FILE: hosts,
        HOSTNAME_FILE: f"{hostname}\n",
        RESOLVER_FILE: format_resolver(compute_resolver(pod, host_resolver, cluster)),
    }
    for name, text in texts.items():
        write_small_file(directory / name, text.encode(), mode=0o644)


def pod_file_mounts(directory: Path, *, taken: Collection[str], read_only: bool = False) -> list[Mount]:
    """The mounts of one container; where it mounts something of its own (`taken`), that wins."""
    return [
        Mount(host_path=str(directory / name), container_path=container_path, read_only=read_only)
        for name, container_path in CONTAINER_PATHS.items()
        if container_path not in taken
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
