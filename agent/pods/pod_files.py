"""Files the agent writes for a Pod's containers: /etc/hosts, /etc/resolv.conf and the termination message.

Docker gives a joined container the files of pause, which in the `native` wiring are the host's; so every container gets
these instead, bind-mounted. Texts follow the kubelet's (pkg/kubelet/kubelet_pods.go, network/dns/dns.go, v1.36).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.pods.pod_spec import is_host_network
from agent.runtime.translate import pod_hostname
from agent.volumes.protocol import Mount
from control.api.objects import ReadOnlyObject

NAMESERVERS_MAX = 3
SEARCHES_MAX = 32
TERMINATION_MESSAGE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSettings:
    """How Pods resolve names. Without `cluster_dns` a ClusterFirst Pod uses the host's resolver."""

    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    host_nameservers: tuple[str, ...] = ()
    host_searches: tuple[str, ...] = ()
    host_options: tuple[str, ...] = field(default_factory=tuple)


def parse_resolv_conf(text: str) -> dict[str, tuple[str, ...]]:
    """nameserver, search and options of a resolv.conf; the last search line counts."""
    found: dict[str, tuple[str, ...]] = {"nameserver": (), "search": (), "options": ()}
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] == "nameserver" and len(words) > 1:
            found["nameserver"] += (words[1],)
        elif words[0] in ("search", "options"):
            found[words[0]] = tuple(words[1:])
    return found


def resolv_conf(pod: ReadOnlyObject, dns: DnsSettings) -> str:
    """Text of /etc/resolv.conf for the Pod's dnsPolicy and dnsConfig."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and is_host_network(pod):
        policy = "Default"
    servers, searches, options = list(dns.host_nameservers), list(dns.host_searches), list(dns.host_options)
    if policy == "None":
        servers, searches, options = [], [], []
    elif policy in ("ClusterFirst", "ClusterFirstWithHostNet") and dns.cluster_dns:
        namespace = pod["metadata"].get("namespace", "default")
        domain = dns.cluster_domain
        servers = list(dns.cluster_dns)
        searches = [f"{namespace}.svc.{domain}", f"svc.{domain}", domain, *searches]
        options = ["ndots:5"]
    config = pod["spec"].get("dnsConfig") or {}
    servers += [item for item in config.get("nameservers") or () if item not in servers]
    searches += [item for item in config.get("searches") or () if item not in searches]
    options = _merge_options(options, config.get("options") or ())
    lines = []
    if searches:
        lines.append("search " + " ".join(searches[:SEARCHES_MAX]))
    lines += [f"nameserver {server}" for server in servers[:NAMESERVERS_MAX]]
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def _merge_options(options: list[str], wanted: Any) -> list[str]:
    merged: dict[str, str] = {option.partition(":")[0]: option for option in options}
    for item in wanted:
        name = item["name"]
        merged[name] = f"{name}:{item['value']}" if item.get("value") else name
    return list(merged.values())


def hosts_file(pod: ReadOnlyObject, *, pod_ip: str, cluster_domain: str, host_text: str = "") -> str:
    """Text of /etc/hosts: loopback, the Pod's own names, hostAliases; a hostNetwork Pod gets the host's."""
    if is_host_network(pod):
        text = "# Kubernetes-managed hosts file (host network).\n" + host_text
    else:
        hostname = pod_hostname(pod)
        subdomain = pod["spec"].get("subdomain")
        namespace = pod["metadata"].get("namespace", "default")
        names = f"{hostname}.{subdomain}.{namespace}.svc.{cluster_domain}\t{hostname}" if subdomain else hostname
        text = (
            "# Kubernetes-managed hosts file.\n"
            "127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\n"
            "fe00::\tip6-localnet\n"
            "fe00::\tip6-mcastprefix\n"
            "fe00::1\tip6-allnodes\n"
            "fe00::2\tip6-allrouters\n"
            f"{pod_ip}\t{names}\n"
        )
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        for alias in aliases:
            text += "\t".join([alias["ip"], *(alias.get("hostnames") or ())]) + "\n"
    return text


class PodFiles:
    """A directory per Pod under the agent's state directory."""

    def __init__(self, root: Path, dns: DnsSettings) -> None:
        self._root = root
        self._dns = dns

    def container_mounts(
        self, pod: ReadOnlyObject, container: ReadOnlyObject, *, attempt: int, pod_ip: str
    ) -> list[Mount]:
        """Write the files and return their mounts; a path that the container mounts itself is left to it."""
        directory = self._directory(pod["metadata"]["uid"])
        directory.mkdir(parents=True, exist_ok=True)
        host_hosts = Path("/etc/hosts")
        host_text = host_hosts.read_text() if is_host_network(pod) and host_hosts.exists() else ""
        hosts = hosts_file(pod, pod_ip=pod_ip, cluster_domain=self._dns.cluster_domain, host_text=host_text)
        message_path = container.get("terminationMessagePath") or "/dev/termination-log"
        message_file = self._message_file(pod["metadata"]["uid"], container["name"], attempt)
        _write_if_changed(directory / "etc-hosts", hosts)
        _write_if_changed(directory / "resolv.conf", resolv_conf(pod, self._dns))
        if not message_file.exists():
            message_file.touch()
            message_file.chmod(0o666)  # any user of the container may leave a message
        mounts = [
            Mount(host_path=str(directory / "etc-hosts"), container_path="/etc/hosts"),
            Mount(host_path=str(directory / "resolv.conf"), container_path="/etc/resolv.conf"),
            Mount(host_path=str(message_file), container_path=message_path),
        ]
        taken = {mount["mountPath"] for mount in container.get("volumeMounts") or ()}
        return [mount for mount in mounts if mount.container_path not in taken]

    def termination_message(self, pod_uid: str, container_name: str, attempt: int) -> str:
        """What the container left in its termination message file."""
        try:
            with self._message_file(pod_uid, container_name, attempt).open("rb") as file:
                return file.read(TERMINATION_MESSAGE_BYTES_MAX).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def remove(self, pod_uid: str) -> None:
        """Remove the Pod's directory."""
        shutil.rmtree(self._directory(pod_uid), ignore_errors=True)

    def collect_garbage(self, wanted_pod_uids: frozenset[str]) -> None:
        """Remove the directories of Pods that are gone."""
        if not self._root.exists():
            return
        for directory in self._root.iterdir():
            if directory.name not in wanted_pod_uids:
                self.remove(directory.name)

    def _directory(self, pod_uid: str) -> Path:
        return self._root / pod_uid

    def _message_file(self, pod_uid: str, container_name: str, attempt: int) -> Path:
        return self._directory(pod_uid) / f"termination-{container_name}-{attempt}"


def _write_if_changed(path: Path, text: str) -> None:
    """Write in place: a bind mount follows the file, not its name."""
    if path.exists() and path.read_text() == text:
        return
    path.write_text(text)


def dns_settings(
    resolv_conf_text: str, *, cluster_dns: tuple[str, ...] = (), cluster_domain: str = "cluster.local"
) -> DnsSettings:
    """Settings from the host's resolv.conf."""
    found: Mapping[str, tuple[str, ...]] = parse_resolv_conf(resolv_conf_text)
    return DnsSettings(
        cluster_dns=cluster_dns,
        cluster_domain=cluster_domain,
        host_nameservers=found["nameserver"],
        host_searches=found["search"],
        host_options=found["options"],
    )
