"""Which fields of a Pod the agent does not carry out: named to the user, never dropped silently. Pure.

An allow-list, so that a field of a newer Kubernetes is reported the day it appears. A field stands in `HANDLED` when
translate.py, the agent's workers, its network or its volumes honour it, or when it is the control plane's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from control.api.objects import ReadOnlyObject

Tree = Mapping[str, "Tree | None"]  # None: the whole subtree is handled


def _leaves(names: str) -> dict[str, Tree | None]:
    return dict.fromkeys(names.split())


_SECCOMP: Final[Tree] = _leaves("type")
_CONTAINER: Final[Tree] = {
    **_leaves(
        "name image command args workingDir ports envFrom env resources livenessProbe readinessProbe"
        " startupProbe terminationMessagePath terminationMessagePolicy imagePullPolicy stdin stdinOnce tty"
        " restartPolicy lifecycle"
    ),
    "volumeMounts": _leaves("name mountPath readOnly subPath subPathExpr mountPropagation"),
    "securityContext": {
        **_leaves(
            "allowPrivilegeEscalation appArmorProfile capabilities privileged procMount readOnlyRootFilesystem"
            " runAsGroup runAsNonRoot runAsUser seLinuxOptions"
        ),
        "seccompProfile": _SECCOMP,
    },
}
_VOLUME: Final[Tree] = _leaves("name emptyDir hostPath configMap secret projected downwardAPI")
HANDLED: Final[Tree] = {
    **_leaves(
        # the agent's
        "activeDeadlineSeconds automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases hostIPC"
        " hostNetwork hostPID hostname hostnameOverride imagePullSecrets restartPolicy serviceAccount"
        " serviceAccountName shareProcessNamespace subdomain terminationGracePeriodSeconds os"
        # the control plane's
        " affinity nodeName nodeSelector overhead preemptionPolicy priority priorityClassName readinessGates"
        " schedulerName schedulingGates tolerations topologySpreadConstraints"
    ),
    "containers": _CONTAINER,
    "initContainers": _CONTAINER,
    "volumes": _VOLUME,
    "securityContext": {
        **_leaves(
            "appArmorProfile fsGroup runAsGroup runAsNonRoot runAsUser seLinuxOptions supplementalGroups sysctls"
        ),
        "seccompProfile": _SECCOMP,
    },
}
# Values that ask for what happens anyway: a field that only restates the default is no wish unheard.
_DEFAULT_VALUES: Final[Mapping[str, Any]] = {
    "hostUsers": True,
    "setHostnameAsFQDN": False,
    "fsGroupChangePolicy": "Always",
    "supplementalGroupsPolicy": "Merge",
}


def unsupported_fields(pod: ReadOnlyObject) -> list[str]:
    """Paths (`spec.volumes[0].nfs`) that are set in the Pod and not carried out, in the order of the spec."""
    found: list[str] = []
    _collect(pod.get("spec") or {}, HANDLED, "spec", found)
    for list_name in ("containers", "initContainers"):
        for index, container in enumerate((pod.get("spec") or {}).get(list_name) or ()):
            _collect_huge_pages(container, f"spec.{list_name}[{index}]", found)
    return found


def _collect(value: Any, tree: Tree | None, path: str, found: list[str]) -> None:
    if tree is None:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            _collect(item, tree, f"{path}[{index}]", found)
        return
    if not isinstance(value, Mapping):
        return
    for name, item in value.items():
        if name in tree:
            _collect(item, tree[name], f"{path}.{name}", found)
        elif _is_a_wish(name, item, value):
            found.append(f"{path}.{name}")


def _is_a_wish(name: str, item: Any, parent: Mapping[str, Any]) -> bool:
    if item is None or item in ({}, [], ""):
        return False
    if name == "localhostProfile" and parent.get("type") != "Localhost":
        return False
    return not (name in _DEFAULT_VALUES and _DEFAULT_VALUES[name] == item)


def _collect_huge_pages(container: Mapping[str, Any], path: str, found: list[str]) -> None:
    for name in (container.get("resources") or {}).get("limits") or {}:
        if name.startswith("hugepages-"):
            found.append(f"{path}.resources.limits.{name}")
