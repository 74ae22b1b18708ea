"""Which fields of a Pod the agent does not carry out: named to the user, never dropped silently. Pure.

An allow-list, so that a field of a newer Kubernetes is reported the day it appears. A field stands in `HANDLED` when
translate.py, the agent's workers, its network or its volumes honour it, or when it is the control plane's alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from control.api.objects import ReadOnlyObject

Tree = Mapping[str, "Tree | None"]  # None: the whole subtree is handled


def _leaves(names: str) -> dict[str, Tree | None]:
    return dict.fromkeys(names.split())


_SECCOMP: Final[Tree] = _leaves("type localhostProfile")
_PROBE: Final[Tree] = _leaves(
    "exec failureThreshold grpc httpGet initialDelaySeconds periodSeconds successThreshold tcpSocket"
    " terminationGracePeriodSeconds timeoutSeconds"
)
_CONTAINER: Final[Tree] = {
    **_leaves(
        "name image command args workingDir ports envFrom env resources terminationMessagePath"
        " terminationMessagePolicy imagePullPolicy stdin stdinOnce tty restartPolicy lifecycle resizePolicy"
    ),
    "livenessProbe": _PROBE,
    "readinessProbe": _PROBE,
    "startupProbe": _PROBE,
    "restartPolicyRules": _leaves("action exitCodes"),
    "volumeDevices": _leaves("name devicePath"),
    "volumeMounts": _leaves("name mountPath readOnly recursiveReadOnly subPath subPathExpr mountPropagation"),
    "securityContext": {
        **_leaves(
            # windowsOptions: means nothing on Linux, upstream too
            "allowPrivilegeEscalation appArmorProfile capabilities privileged readOnlyRootFilesystem"
            " runAsGroup runAsNonRoot runAsUser seLinuxOptions windowsOptions"
        ),
        "seccompProfile": _SECCOMP,
    },
}
_VOLUME: Final[Tree] = _leaves(
    "name emptyDir hostPath configMap secret projected downwardAPI persistentVolumeClaim ephemeral image nfs csi"
)
HANDLED: Final[Tree] = {
    **_leaves(
        # the agent's
        "activeDeadlineSeconds automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases hostIPC"
        " hostNetwork hostPID hostname hostnameOverride imagePullSecrets restartPolicy serviceAccount"
        " serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain terminationGracePeriodSeconds os"
        # the control plane's
        " affinity nodeName nodeSelector overhead preemptionPolicy priority priorityClassName readinessGates"
        " runtimeClassName schedulerName schedulingGates tolerations topologySpreadConstraints"
    ),
    "resources": _leaves("limits requests"),
    "ephemeralContainers": {**_CONTAINER, "targetContainerName": None},
    "containers": _CONTAINER,
    "initContainers": _CONTAINER,
    "volumes": _VOLUME,
    "securityContext": {
        **_leaves(
            # fsGroupChangePolicy: the agent sets a volume's group once, when it makes it, so both policies mean that
            "appArmorProfile fsGroup fsGroupChangePolicy runAsGroup runAsNonRoot runAsUser seLinuxOptions"
            # seLinuxChangePolicy: how volumes are relabelled, of which nothing is to be done without SELinux
            " supplementalGroups supplementalGroupsPolicy sysctls seLinuxChangePolicy windowsOptions"
        ),
        "seccompProfile": _SECCOMP,
    },
}
# Values that ask for what happens anyway: such a field is no wish unheard.
_MET_VALUES: Final[Mapping[str, tuple[Any, ...]]] = {
    "hostUsers": (True,),
    "procMount": ("Default",),
}


def unsupported_fields(
    pod: ReadOnlyObject,
    *,
    has_selinux: bool = False,
    has_pod_cgroups: bool = True,
    limits_huge_pages: bool = True,
) -> list[str]:
    """Paths (`spec.volumes[0].nfs`) that are set in the Pod and not carried out, in the order of the spec.

    `has_selinux`: the engine enforces SELinux, so that volumes would have to be relabelled. Without cgroups of their
    own (`has_pod_cgroups`) Pods can be limited by their containers alone, and nothing limits huge pages.
    """
    found: list[str] = []
    spec = pod.get("spec") or {}
    _collect(spec, HANDLED, "spec", found)
    if has_selinux and (spec.get("securityContext") or {}).get("seLinuxChangePolicy"):
        found.append("spec.securityContext.seLinuxChangePolicy")
    if spec.get("resources") and not has_pod_cgroups:
        found.append("spec.resources")
    elif not limits_huge_pages:
        found += _huge_pages(spec, "spec")
    for list_name in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(list_name) or ()):
            if not limits_huge_pages:
                found += _huge_pages(container, f"spec.{list_name}[{index}]")
            found += _unmet_values(container, f"spec.{list_name}[{index}]", is_on_host=bool(spec.get("hostNetwork")))
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
        elif _is_a_wish(name, item):
            found.append(f"{path}.{name}")


def _is_a_wish(name: str, item: Any) -> bool:
    if item is None or item in ({}, [], ""):
        return False
    return item not in _MET_VALUES.get(name, ())


def _huge_pages(holder: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in (holder.get("resources") or {}).get("limits") or {}:
        if name.startswith("hugepages-"):
            yield f"{path}.resources.limits.{name}"


def _unmet_values(container: Mapping[str, Any], path: str, *, is_on_host: bool) -> Iterator[str]:
    """What of a container is not carried out although its field is. On the host's network a port is on it anyway."""
    for index, port in enumerate(container.get("ports") or ()):
        if port.get("hostPort") and not is_on_host:
            if port.get("protocol") == "SCTP":
                yield f"{path}.ports[{index}].hostPort"
            if ":" in (port.get("hostIP") or ""):
                yield f"{path}.ports[{index}].hostIP"
