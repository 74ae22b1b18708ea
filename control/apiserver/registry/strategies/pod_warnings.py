"""Warnings about deprecated or doubtful fields of Pods and templates (upstream: pkg/api/pod/warnings.go)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control.api.addresses import address_warnings
from control.api.errors import quote
from control.api.names import dns1123_label_errors
from control.apiserver.registry.strategies.internal_form import printed_struct
from control.apiserver.registry.strategies.node_label_warnings import (
    find_label_deprecation,
    selector_warnings,
    term_warnings,
    terms_warnings,
)
from control.apiserver.registry.strategies.profile_annotations import (
    APP_ARMOR_CONTAINER,
    SECCOMP_CONTAINER,
    SECCOMP_POD,
    app_armor_profile,
)
from control.apiserver.registry.strategies.resource_lists import quantity
from control.apiserver.registry.strategies.volume_warnings import volume_warnings

Spec = Mapping[str, Any]

_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
_NO_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_OLD_APP_ARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_NULL_SELECTOR = "a null labelSelector results in matching no pod"
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def pod_warnings(pod: Spec) -> Iterator[str]:
    """Warnings about a new Pod."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    problems = dns1123_label_errors(metadata.get("name") or "")
    if problems:
        yield (
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
            f"a DNS label is recommended: [{' '.join(problems)}]"
        )
    yield from _adopted_profiles(metadata, spec)
    yield from _warnings("", metadata, spec, is_template=False)


def template_warnings(path: str, template: Spec) -> Iterator[str]:
    """Warnings about a template of a workload."""
    return _warnings(f"{path}.", template.get("metadata") or {}, template.get("spec") or {}, is_template=True)


def _adopted_profiles(metadata: Spec, spec: Spec) -> Iterator[str]:
    """AppArmor annotations that had to be written into fields, or could not be."""
    annotations, whole = metadata.get("annotations") or {}, (spec.get("securityContext") or {}).get("appArmorProfile")
    if (spec.get("os") or {}).get("name") == "windows":
        return
    for _, container in _containers("", spec):
        key = APP_ARMOR_CONTAINER + (container.get("name") or "")
        if key in annotations:
            profile = app_armor_profile(annotations[key])
            own = (container.get("securityContext") or {}).get("appArmorProfile")
            if (profile is None and own is None) or (profile is not None and own == profile != whole):
                yield f"metadata.annotations[{key}]: {_OLD_APP_ARMOR}"


def _containers(path: str, spec: Spec) -> Iterator[tuple[str, Spec]]:
    for name in _CONTAINER_LISTS:
        for index, container in enumerate(spec.get(name) or ()):
            yield f"{path}.{name}[{index}]", container


def _warnings(prefix: str, metadata: Spec, spec: Spec, *, is_template: bool) -> Iterator[str]:
    path, annotations = f"{prefix}spec", metadata.get("annotations") or {}
    yield from _node_labels(path, spec)
    for key, text in _ANNOTATIONS.items():
        if key in annotations:
            yield f"{prefix}metadata.annotations[{key}]: {text}"
    yield from volume_warnings(f"{path}.volumes", spec.get("volumes") or ())
    yield from _repeated(f"{path}.hostAliases", spec.get("hostAliases") or (), "ip")
    yield from _repeated(f"{path}.imagePullSecrets", spec.get("imagePullSecrets") or (), "name")
    for index, reference in enumerate(spec.get("imagePullSecrets") or ()):
        if not reference.get("name"):
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'
    yield from _fractional_bytes(f"{path}.overhead", spec.get("overhead"), ("memory", "ephemeral-storage"))
    if (spec.get("securityContext") or {}).get("seccompProfile") is None and SECCOMP_POD in annotations:
        yield f"{prefix}metadata.annotations[{SECCOMP_POD}]: {_NO_SECCOMP}"
    for where, container in _containers(path, spec):
        yield from _profile_annotations(prefix, annotations, spec, container, is_template=is_template)
        yield from _container_warnings(where, container)
    yield from _port_warnings(path, spec)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        where = f"{path}.terminationGracePeriodSeconds"
        yield f"{where}: must be >= 0; negative values are invalid and will be treated as 1"
    yield from _null_selectors(f"{path}.affinity", spec.get("affinity") or {})
    yield from _addresses(path, spec)


def _node_labels(path: str, spec: Spec) -> Iterator[str]:
    yield from selector_warnings(f"{path}.nodeSelector", spec.get("nodeSelector"))
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    yield from terms_warnings(f"{path}.affinity.nodeAffinity.{_REQUIRED}", node.get(_REQUIRED))
    for index, term in enumerate(node.get(_PREFERRED) or ()):
        where = f"{path}.affinity.nodeAffinity.{_PREFERRED}[{index}].preference"
        yield from term_warnings(where, term.get("preference") or {}, checks_values=True)
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        where, key = f"{path}.topologySpreadConstraints[{index}]", constraint.get("topologyKey") or ""
        text = find_label_deprecation(key)
        if text is not None:
            yield f"{where}.topologyKey: {key} is {text}"
        if constraint.get("labelSelector") is None:
            yield f"{where}.labelSelector: {_NULL_SELECTOR}"


def _repeated(path: str, items: Any, field: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        value = item.get(field) or ""
        if value in seen:
            yield f"{path}[{index}].{field}: duplicate {field} {quote(value)}"
        seen.add(value)


def _profile_annotations(
    prefix: str, annotations: Mapping[str, str], spec: Spec, container: Spec, *, is_template: bool
) -> Iterator[str]:
    context, whole = container.get("securityContext") or {}, spec.get("securityContext") or {}
    key = SECCOMP_CONTAINER + (container.get("name") or "")
    if context.get("seccompProfile") is None and key in annotations:
        yield f"{prefix}metadata.annotations[{key}]: {_NO_SECCOMP}"
    key = APP_ARMOR_CONTAINER + (container.get("name") or "")
    has_field = whole.get("appArmorProfile") is not None or context.get("appArmorProfile") is not None
    if is_template and not has_field and key in annotations:
        yield f"{prefix}metadata.annotations[{key}]: {_OLD_APP_ARMOR}"


def _container_warnings(path: str, container: Spec) -> Iterator[str]:
    resources = container.get("resources") or {}
    for resource in ("memory", "ephemeral-storage"):
        for name in ("limits", "requests"):
            yield from _fractional_bytes(f"{path}.resources.{name}", resources.get(name), (resource,))
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name, value = variable.get("name") or "", variable.get("value") or ""
        reference = f"$({name})"
        extends = variable.get("valueFrom") is None and value != reference and reference in value
        if name in seen and not extends:
            where = f"{path}.env[{index}]"
            yield f"{where}: hides previous definition of {quote(name)}, which may be dropped when using apply"
        seen.add(name)


def _port_warnings(path: str, spec: Spec) -> Iterator[str]:
    known: dict[tuple[int, str], list[tuple[str, Spec]]] = {}
    for container_path, container in _containers(path, spec):
        for index, port in enumerate(container.get("ports") or ()):
            where = f"{container_path}.ports[{index}]"
            if port.get("hostIP") and not port.get("hostPort"):
                yield f"{where}: hostIP set without hostPort: {printed_struct('ContainerPort', port)}"
            others = known.setdefault((port.get("containerPort") or 0, port.get("protocol") or ""), [])
            for other_path, other in others:
                relation = _relation_of_ports(port, other)
                if relation:
                    yield f"{where}: {relation} port definition with {other_path}"
            others.append((where, port))


def _relation_of_ports(port: Spec, other: Spec) -> str:
    (ip, number), (other_ip, other_number) = ((p.get("hostIP") or "", p.get("hostPort") or 0) for p in (port, other))
    if (ip, number) == (other_ip, other_number):
        return "duplicate"
    if number == 0 or other_number == 0:
        return "overlapping"
    return "dangerously ambiguous" if number == other_number and (not ip or not other_ip) else ""


def _null_selectors(path: str, affinity: Spec) -> Iterator[str]:
    for name in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(name) or {}
        for index, term in enumerate(terms.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                yield f"{path}.{name}.{_REQUIRED}[{index}].labelSelector: {_NULL_SELECTOR}"
        for index, term in enumerate(terms.get(_PREFERRED) or ()):
            if (term.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{path}.{name}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector: {_NULL_SELECTOR}"


def _addresses(path: str, spec: Spec) -> Iterator[str]:
    for index, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        for text in address_warnings(server):
            yield f"{path}.dnsConfig.nameservers[{index}]: {text}"
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        for text in address_warnings(alias.get("ip") or ""):
            yield f"{path}.hostAliases[{index}].ip: {text}"


def _fractional_bytes(path: str, amounts: Spec | None, resources: tuple[str, ...]) -> Iterator[str]:
    for resource in resources:
        text = (amounts or {}).get(resource)
        if text is not None and not quantity(text).is_whole:
            shown = quantity(text)
            yield f'{path}[{resource}]: fractional byte value "{shown}" is invalid, must be an integer'
