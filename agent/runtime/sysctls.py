"""The sysctls of a Pod: which ones this node allows, and who sets them. Pure.

Upstream: pkg/kubelet/sysctl (safe_sysctls.go, allowlist.go, v1.36).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from control.api.objects import ReadOnlyObject
from control.api.sysctls import IPC_NAMESPACE, NET_NAMESPACE, namespace_of, normalize_name

FORBIDDEN_REASON = "SysctlForbidden"

#: safe sysctls, and the kernel from which on they are the namespace's own
SAFE_SYSCTLS: Mapping[str, tuple[int, int]] = {
    "kernel.shm_rmid_forced": (0, 0),
    "net.ipv4.ip_local_port_range": (0, 0),
    "net.ipv4.tcp_syncookies": (0, 0),
    "net.ipv4.ping_group_range": (0, 0),
    "net.ipv4.ip_unprivileged_port_start": (0, 0),
    "net.ipv4.ip_local_reserved_ports": (3, 16),
    "net.ipv4.tcp_keepalive_time": (4, 5),
    "net.ipv4.tcp_fin_timeout": (4, 6),
    "net.ipv4.tcp_keepalive_intvl": (4, 5),
    "net.ipv4.tcp_keepalive_probes": (4, 5),
    "net.ipv4.tcp_rmem": (4, 15),
    "net.ipv4.tcp_wmem": (4, 15),
}
LENGTH_MAX = 253
PATTERN_FORMAT = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]"


class SysctlPatternError(ValueError):
    """A pattern that cannot be allowed; the message is the kubelet's."""


@dataclass(frozen=True, slots=True)
class SysctlAllowlist:
    """Names and prefixes that are allowed, each with the namespace that it belongs to."""

    names: Mapping[str, str] = field(default_factory=dict)
    prefixes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, patterns: Iterable[str], kernel_version: str) -> SysctlAllowlist:
        """The safe sysctls of a kernel (`6.1.0-18-amd64`) and those of the patterns. Raises SysctlPatternError."""
        safe = [name for name, since in SAFE_SYSCTLS.items() if _parse_kernel(kernel_version) >= since]
        names: dict[str, str] = {}
        prefixes: dict[str, str] = {}
        for text in (*safe, *patterns):
            if len(text) > LENGTH_MAX or not re.fullmatch(PATTERN_FORMAT, text):
                raise SysctlPatternError(
                    f'sysctl "{text}" must have at most {LENGTH_MAX} characters and match regex {PATTERN_FORMAT}'
                )
            name, namespace = normalize_name(text).removesuffix("*"), namespace_of(text)
            if not namespace:
                raise SysctlPatternError(f'the sysctls "{name}" are not known to be namespaced')
            allowed = prefixes if text.endswith("*") else names
            allowed[name] = namespace
        return cls(names, prefixes)

    def objection(self, pod: ReadOnlyObject) -> str:
        """Why the Pod may not have its sysctls, in the kubelet's words; empty when it may."""
        spec = pod["spec"]
        host_namespaces = {NET_NAMESPACE: bool(spec.get("hostNetwork")), IPC_NAMESPACE: bool(spec.get("hostIPC"))}
        for name in _pod_sysctls(pod):
            namespace = self._find(name)
            if not namespace:
                return f'forbidden sysctl: "{name}" not allowlisted'
            if host_namespaces[namespace]:
                return f'forbidden sysctl: "{name}" not allowed with host {namespace} enabled'
        return ""

    def _find(self, name: str) -> str:
        """The namespace of an allowed sysctl; empty for any other."""
        if name in self.names:
            return self.names[name]
        return next((namespace for prefix, namespace in self.prefixes.items() if name.startswith(prefix)), "")


def network_sysctls(pod: ReadOnlyObject) -> dict[str, str]:
    """Those of the Pod's sysctls that belong to its network namespace: the Pod network sets them.

    Docker would refuse them on a container that starts in the host's network, as pause does.
    """
    return {name: value for name, value in _pod_sysctls(pod).items() if namespace_of(name) == NET_NAMESPACE}


def ipc_sysctls(pod: ReadOnlyObject) -> dict[str, str]:
    """Those of the Pod's sysctls that belong to its IPC namespace: Docker sets them on pause."""
    return {name: value for name, value in _pod_sysctls(pod).items() if namespace_of(name) == IPC_NAMESPACE}


def _pod_sysctls(pod: ReadOnlyObject) -> dict[str, str]:
    context = pod["spec"].get("securityContext") or {}
    return {normalize_name(item["name"]): str(item["value"]) for item in context.get("sysctls") or ()}


def _parse_kernel(version: str) -> tuple[int, int]:
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
