"""The checks of the Pod Security Standards, in their newest version (upstream: pod-security-admission/policy)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Pod = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a Pod does that its level forbids: a short reason and where."""

    reason: str
    detail: str


def find_violations(pod: Pod, level: str) -> list[Finding]:
    """Everything a Pod (or template) does that the level forbids, in upstream's order."""
    if level == "privileged":
        return []
    spec = pod.get("spec") or {}
    checks = _RESTRICTED if level == "restricted" else _BASELINE
    findings = [check(spec, pod) for check in checks]
    return sorted((finding for finding in findings if finding), key=lambda finding: _ORDER[finding.reason])


def _containers(spec: Pod) -> list[Pod]:
    fields = ("initContainers", "containers", "ephemeralContainers")
    return [container for field in fields for container in spec.get(field) or ()]


def _context(container: Pod) -> Pod:
    return container.get("securityContext") or {}


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _named(containers: Iterable[Pod]) -> str:
    names = [container.get("name") or "" for container in containers]
    return f"container{'s' if len(names) > 1 else ''} {_quoted(names)}"


def _host_namespaces(spec: Pod, pod: Pod) -> Finding | None:
    given = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return Finding("host namespaces", ", ".join(given)) if given else None


def _privileged(spec: Pod, pod: Pod) -> Finding | None:
    bad = [container for container in _containers(spec) if _context(container).get("privileged")]
    return Finding("privileged", f"{_named(bad)} must not set securityContext.privileged=true") if bad else None


_BASELINE_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip


def _added(container: Pod) -> list[str]:
    return (_context(container).get("capabilities") or {}).get("add") or []


def _default_capabilities(spec: Pod, pod: Pod) -> Finding | None:
    bad = [container for container in _containers(spec) if set(_added(container)) - _BASELINE_CAPABILITIES]
    if not bad:
        return None
    names = sorted({name for container in bad for name in _added(container)} - _BASELINE_CAPABILITIES)
    detail = f"{_named(bad)} must not include {_quoted(names)} in securityContext.capabilities.add"
    return Finding("non-default capabilities", detail)


def _host_path(spec: Pod, pod: Pod) -> Finding | None:
    bad = [volume.get("name") or "" for volume in spec.get("volumes") or () if volume.get("hostPath") is not None]
    return Finding("hostPath volumes", f"volume{'s' if len(bad) > 1 else ''} {_quoted(bad)}") if bad else None


def _host_ports(spec: Pod, pod: Pod) -> Finding | None:
    bad = [c for c in _containers(spec) if any(port.get("hostPort") for port in c.get("ports") or ())]
    if not bad:
        return None
    ports = sorted({str(port["hostPort"]) for c in bad for port in c.get("ports") or () if port.get("hostPort")})
    uses = "use" if len(bad) > 1 else "uses"
    return Finding("hostPort", f"{_named(bad)} {uses} hostPort{'s' if len(ports) > 1 else ''} {', '.join(ports)}")


def _pod_or_containers(spec: Pod, bad: Callable[[Pod], str]) -> tuple[str, list[str]]:
    """Who holds a bad value (`pod and container "a"`) and the values."""
    values: list[str] = []
    holders: list[str] = []
    own = bad(spec.get("securityContext") or {})
    if own:
        holders.append("pod")
        values.append(own)
    containers = [container for container in _containers(spec) if bad(_context(container))]
    if containers:
        holders.append(_named(containers))
        values.extend(bad(_context(container)) for container in containers)
    return " and ".join(holders), sorted(set(values))


def _seccomp_baseline(spec: Pod, pod: Pod) -> Finding | None:
    def bad(context: Pod) -> str:
        kind = (context.get("seccompProfile") or {}).get("type") or ""
        return kind if kind == "Unconfined" else ""

    holders, values = _pod_or_containers(spec, bad)
    if not holders:
        return None
    return Finding("seccompProfile", f"{holders} must not set securityContext.seccompProfile.type to {_quoted(values)}")


_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)


def _sysctls(spec: Pod, pod: Pod) -> Finding | None:
    names = [item.get("name") or "" for item in (spec.get("securityContext") or {}).get("sysctls") or ()]
    bad = [name for name in names if name not in _SAFE_SYSCTLS]
    return Finding("forbidden sysctls", ", ".join(bad)) if bad else None


def _proc_mount(spec: Pod, pod: Pod) -> Finding | None:
    if spec.get("hostUsers") is False:
        return None
    bad = [c for c in _containers(spec) if _context(c).get("procMount") not in (None, "Default")]
    if not bad:
        return None
    values = sorted({_context(container)["procMount"] for container in bad})
    return Finding("procMount", f"{_named(bad)} must not set securityContext.procMount to {_quoted(values)}")


_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")


def _selinux(spec: Pod, pod: Pod) -> Finding | None:
    def bad(context: Pod) -> str:
        options = context.get("seLinuxOptions") or {}
        if (options.get("type") or "") not in _SELINUX_TYPES:
            return f'type "{options["type"]}"'
        for name in ("user", "role"):
            if options.get(name):
                return f"{name} may not be set"
        return ""

    holders, values = _pod_or_containers(spec, bad)
    if not holders:
        return None
    return Finding("seLinuxOptions", f"{holders} set forbidden securityContext.seLinuxOptions: {'; '.join(values)}")


def _app_armor(spec: Pod, pod: Pod) -> Finding | None:
    def bad(context: Pod) -> str:
        kind = (context.get("appArmorProfile") or {}).get("type") or ""
        return kind if kind == "Unconfined" else ""

    holders, values = _pod_or_containers(spec, bad)
    if not holders:
        return None
    detail = f"{holders} must not set AppArmor profile type to {_quoted(values)}"
    return Finding("forbidden AppArmor profile", detail)


def _host_process(spec: Pod, pod: Pod) -> Finding | None:
    def bad(context: Pod) -> str:
        return "hostProcess" if (context.get("windowsOptions") or {}).get("hostProcess") else ""

    holders, _ = _pod_or_containers(spec, bad)
    if not holders:
        return None
    return Finding("hostProcess", f"{holders} must not set securityContext.windowsOptions.hostProcess=true")


# ---- restricted ---------------------------------------------------------------------------------------------------


def _is_windows(spec: Pod) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def _privilege_escalation(spec: Pod, pod: Pod) -> Finding | None:
    if _is_windows(spec):
        return None
    bad = [c for c in _containers(spec) if _context(c).get("allowPrivilegeEscalation") is not False]
    if not bad:
        return None
    detail = f"{_named(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Finding("allowPrivilegeEscalation != false", detail)


def _restricted_capabilities(spec: Pod, pod: Pod) -> Finding | None:
    if _is_windows(spec):
        return None
    missing = [c for c in _containers(spec) if "ALL" not in ((_context(c).get("capabilities") or {}).get("drop") or ())]
    adding = [c for c in _containers(spec) if set(_added(c)) - {"NET_BIND_SERVICE"}]
    details = []
    if missing:
        details.append(f'{_named(missing)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        names = sorted({name for c in adding for name in _added(c)} - {"NET_BIND_SERVICE"})
        details.append(f"{_named(adding)} must not include {_quoted(names)} in securityContext.capabilities.add")
    return Finding("unrestricted capabilities", "; ".join(details)) if details else None


_RESTRICTED_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)


def _volume_types(spec: Pod, pod: Pod) -> Finding | None:
    bad: list[str] = []
    kinds: set[str] = set()
    for volume in spec.get("volumes") or ():
        used = {key for key, value in volume.items() if key != "name" and value is not None} - _RESTRICTED_VOLUMES
        if used:
            bad.append(volume.get("name") or "")
            kinds |= used
    if not bad:
        return None
    plural = len(bad) > 1
    uses = f"volume{'s' if plural else ''} {_quoted(bad)} use{'' if plural else 's'} restricted volume type"
    return Finding("restricted volume types", f"{uses}{'s' if len(kinds) > 1 else ''} {_quoted(sorted(kinds))}")


def _non_root(spec: Pod, pod: Pod) -> Finding | None:
    own = (spec.get("securityContext") or {}).get("runAsNonRoot")
    explicit = [c for c in _containers(spec) if _context(c).get("runAsNonRoot") is False]
    unset = [c for c in _containers(spec) if _context(c).get("runAsNonRoot") is None]
    reason = "runAsNonRoot != true"
    if spec.get("hostUsers") is False:
        return None
    if own is False or explicit:
        holders = (["pod"] if own is False else []) + ([_named(explicit)] if explicit else [])
        return Finding(reason, f"{' and '.join(holders)} must not set securityContext.runAsNonRoot=false")
    if unset and own is not True:
        return Finding(reason, f"pod or {_named(unset)} must set securityContext.runAsNonRoot=true")
    return None


def _non_root_user(spec: Pod, pod: Pod) -> Finding | None:
    if spec.get("hostUsers") is False:
        return None

    def bad(context: Pod) -> str:
        return "0" if context.get("runAsUser") == 0 else ""

    holders, _ = _pod_or_containers(spec, bad)
    return Finding("runAsUser=0", f"{holders} must not set runAsUser=0") if holders else None


def _seccomp_restricted(spec: Pod, pod: Pod) -> Finding | None:
    if _is_windows(spec):
        return None
    allowed = ("RuntimeDefault", "Localhost")
    choice = '"RuntimeDefault" or "Localhost"'

    def bad(context: Pod) -> str:
        kind = (context.get("seccompProfile") or {}).get("type") or ""
        return kind if kind and kind not in allowed else ""

    holders, values = _pod_or_containers(spec, bad)
    if holders:
        detail = f"{holders} must not set securityContext.seccompProfile.type to {_quoted(values)}"
        return Finding("seccompProfile", detail)
    own = ((spec.get("securityContext") or {}).get("seccompProfile") or {}).get("type")
    unset = [c for c in _containers(spec) if not (_context(c).get("seccompProfile") or {}).get("type")]
    if own or not unset:
        return None
    return Finding("seccompProfile", f"pod or {_named(unset)} must set securityContext.seccompProfile.type to {choice}")


Check = Callable[[Pod, Pod], Finding | None]

_SHARED: tuple[Check, ...] = (
    _app_armor,
    _host_namespaces,
    _host_path,
    _host_ports,
    _host_process,
    _privileged,
    _proc_mount,
    _selinux,
    _sysctls,
)
_BASELINE: tuple[Check, ...] = (*_SHARED, _default_capabilities, _seccomp_baseline)
#: restricted capabilities and profiles say everything the baseline ones do
_RESTRICTED: tuple[Check, ...] = (
    *_SHARED,
    _privilege_escalation,
    _restricted_capabilities,
    _volume_types,
    _non_root,
    _non_root_user,
    _seccomp_restricted,
)

#: upstream sorts its checks by their ids
_ORDER = {
    reason: index
    for index, reason in enumerate(
        (
            "forbidden AppArmor profile",
            "non-default capabilities",
            "host namespaces",
            "hostPath volumes",
            "hostPort",
            "privileged",
            "procMount",
            "seLinuxOptions",
            "forbidden sysctls",
            "hostProcess",
            "allowPrivilegeEscalation != false",
            "unrestricted capabilities",
            "restricted volume types",
            "runAsNonRoot != true",
            "runAsUser=0",
            "seccompProfile",
        )
    )
}
