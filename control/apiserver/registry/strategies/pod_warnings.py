"""Warnings about deprecated or doubtful fields of Pods and templates (upstream: pkg/api/pod/warnings.go)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control.apiserver.registry.strategies.resource_lists import quantity

Spec = Mapping[str, Any]

_VOLUME_WARNINGS = {
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
}
_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def pod_warnings(pod: Spec) -> Iterator[str]:
    """Warnings about a Pod."""
    return _spec_warnings("spec", pod.get("spec") or {})


def template_warnings(path: str, template: Spec) -> Iterator[str]:
    """Warnings about a template of a workload."""
    return _spec_warnings(f"{path}.spec", template.get("spec") or {})


def _spec_warnings(path: str, spec: Spec) -> Iterator[str]:
    for key in sorted(spec.get("nodeSelector") or ()):
        if key in _NODE_LABELS:
            yield f"{path}.nodeSelector[{key}]: {_NODE_LABELS[key]}"
    for index, volume in enumerate(spec.get("volumes") or ()):
        for name, text in _VOLUME_WARNINGS.items():
            if volume.get(name) is not None:
                yield f"{path}.volumes[{index}].{name}: {text}"
    yield from _duplicate_host_aliases(path, spec)
    seen: set[str] = set()
    for index, reference in enumerate(spec.get("imagePullSecrets") or ()):
        name = reference.get("name") or ""
        if not name:
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'
        elif name in seen:
            yield f'{path}.imagePullSecrets[{index}].name: duplicate name "{name}"'
        seen.add(name)
    for name in _CONTAINER_LISTS:
        for index, container in enumerate(spec.get(name) or ()):
            yield from _container_warnings(f"{path}.{name}[{index}]", container)
    yield from _fractional_bytes(f"{path}.overhead", {"": spec.get("overhead")})
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        where = f"{path}.terminationGracePeriodSeconds"
        yield f"{where}: must be >= 0; negative values are invalid and will be treated as 1"


def _duplicate_host_aliases(path: str, spec: Spec) -> Iterator[str]:
    first: dict[str, int] = {}
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        ip = alias.get("ip") or ""
        if ip in first:
            yield (
                f"{path}.hostAliases[{index}].ip: duplicate ip in {path}.hostAliases; "
                f"{path}.hostAliases[{first[ip]}].ip already specifies {ip}"
            )
        first.setdefault(ip, index)


def _container_warnings(path: str, container: Spec) -> Iterator[str]:
    yield from _fractional_bytes(f"{path}.resources", container.get("resources") or {})
    names: dict[str, int] = {}
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name") or ""
        if name in names:
            yield f'{path}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        names[name] = index
    ports: dict[tuple[Any, ...], int] = {}
    for index, port in enumerate(container.get("ports") or ()):
        key = tuple(port.get(field) for field in ("containerPort", "protocol", "hostPort", "hostIP"))
        if key in ports:
            yield f"{path}.ports[{index}]: duplicate port definition with {path}.ports[{ports[key]}]"
        ports.setdefault(key, index)


def _fractional_bytes(path: str, lists: Spec) -> Iterator[str]:
    for name in ("", "limits", "requests"):
        amounts = lists.get(name)
        if not isinstance(amounts, dict):
            continue
        for resource in ("memory", "ephemeral-storage"):
            text = amounts.get(resource)
            if text is not None and not quantity(text).is_whole:
                where = f"{path}.{name}" if name else path
                yield f'{where}[{resource}]: fractional byte value "{text}" is invalid, must be an integer'
