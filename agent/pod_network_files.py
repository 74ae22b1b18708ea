"""Joins the Pods' directories with the network's files and the engine's logs, which agent.pods knows by role only."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path

from agent.network.pod_files import PodNames, pod_file_mounts, read_host_resolver, write_pod_files
from agent.network.resolver import ClusterDns, resolver_warnings
from agent.runtime.hostname import kernel_hostname, pod_domain, pod_hostname
from agent.runtime.log_files import read_log
from agent.runtime.log_options import LogOptions
from agent.volumes.protocol import Mount
from control.api.objects import ReadOnlyObject


class PodNetworkFiles:
    """Implements `agent.pods.pod_files.NetworkFiles`."""

    def __init__(self, cluster_dns: ClusterDns) -> None:
        self._cluster_dns = cluster_dns

    def write(self, directory: Path, pod: ReadOnlyObject, pod_ips: Sequence[str]) -> list[str]:
        """Write hosts, hostname and resolv.conf. Returns what resolv.conf had to leave out."""
        host_resolver = read_host_resolver()
        write_pod_files(
            directory,
            pod,
            names=PodNames(
                hostname=pod_hostname(pod),
                domain=pod_domain(pod, self._cluster_dns.domain),
                kernel_hostname=kernel_hostname(pod, self._cluster_dns.domain),
            ),
            pod_ips=pod_ips,
            host_resolver=host_resolver,
            cluster=self._cluster_dns,
        )
        return resolver_warnings(pod, host_resolver, self._cluster_dns)

    def mounts(self, directory: Path, taken: Collection[str]) -> list[Mount]:
        """Their mounts."""
        return pod_file_mounts(directory, taken=taken)


def read_log_tail(log_path: str, lines: int) -> str:
    """The last lines of a dead container's log. Blocking: called in a thread."""

    async def is_running() -> bool:
        return False

    async def read() -> bytes:
        chunks = [
            chunk async for chunk in read_log(Path(log_path), LogOptions(tail_lines=lines), is_running=is_running)
        ]
        return b"".join(chunks)

    return asyncio.run(read()).decode("utf-8", "replace")
