"""Rules of containers: names, ports, environment, mounts, resources (upstream: validateContainers and below)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control.api.errors import FieldError
from control.api.names import port_name_errors
from control.api.pods import is_sidecar
from control.apiserver.registry.strategies.environment_validation import environment
from control.apiserver.registry.strategies.field_rules import (
    PROTOCOLS,
    Errors,
    dns_label,
    one_of,
    port_number,
    required_one_of,
)
from control.apiserver.registry.strategies.mount_validation import volume_devices, volume_mounts
from control.apiserver.registry.strategies.probe_validation import PROBES, lifecycle, probes
from control.apiserver.registry.strategies.resource_lists import requirements
from control.apiserver.registry.strategies.security_validation import container_security

Container = Mapping[str, Any]

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_RESTART_RULES_MAX = 20
_EXIT_CODES_MAX = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """What the rules of a container need to know of its Pod spec."""

    volumes: Mapping[str, Mapping[str, Any]]
    claim_names: frozenset[str]
    grace_seconds: int | None
    restart_policy: str
    host_users: bool


def containers(path: str, items: Sequence[Container], facts: PodFacts) -> Errors:
    """The main containers."""
    if not items:
        yield FieldError.required(path)
        return
    names: set[str] = set()
    for index, container in enumerate(items):
        item = f"{path}[{index}]"
        yield from _container(item, container, facts)
        name = container.get("name", "")
        if name in names:
            yield FieldError.duplicate(f"{item}.name", name)
        names.add(name)
        yield from lifecycle(f"{item}.lifecycle", container.get("lifecycle"), facts.grace_seconds)
        yield from probes(item, container)
        yield from _restart_policy(item, container)
    yield from _unique_host_ports(path, items)


def init_containers(path: str, items: Sequence[Container], main: Sequence[Container], facts: PodFacts) -> Errors:
    """The init containers; one with restartPolicy Always is a sidecar and may have probes and hooks."""
    names = {container.get("name", "") for container in main}
    for index, container in enumerate(items):
        item = f"{path}[{index}]"
        yield from _container(item, container, facts)
        yield from _restart_policy(item, container)
        name = container.get("name", "")
        if name in names:
            yield FieldError.duplicate(f"{item}.name", name)
        elif name:
            names.add(name)
        yield from _unique_host_ports(path, [container])
        if container.get("restartPolicy") == "Always":
            yield from lifecycle(f"{item}.lifecycle", container.get("lifecycle"), facts.grace_seconds)
            yield from probes(item, container)
        else:
            for field in ("lifecycle", *PROBES):
                if container.get(field) is not None:
                    detail = "may not be set for init containers without restartPolicy=Always"
                    yield FieldError.forbidden(f"{item}.{field}", detail)


def _restart_policy(path: str, container: Container) -> Errors:
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    if policy is not None:
        yield from one_of(f"{path}.restartPolicy", policy, ("Always", "Never", "OnFailure"))
    elif rules:
        yield FieldError.required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
    if len(rules) > _RESTART_RULES_MAX:
        yield FieldError.too_many(f"{path}.restartPolicyRules", len(rules), _RESTART_RULES_MAX)
    for index, rule in enumerate(rules):
        yield from _restart_rule(f"{path}.restartPolicyRules[{index}]", rule)


def _restart_rule(path: str, rule: Mapping[str, Any]) -> Errors:
    yield from one_of(f"{path}.action", rule.get("action") or "", ("Restart", "RestartAllContainers"))
    codes = rule.get("exitCodes")
    if codes is None:
        yield FieldError.required(f"{path}.exitCodes", "must be specified")
        return
    yield from one_of(f"{path}.exitCodes.operator", codes.get("operator") or "", ("In", "NotIn"))
    values = codes.get("values") or ()
    if len(values) > _EXIT_CODES_MAX:
        yield FieldError.too_many(f"{path}.exitCodes.values", len(values), _EXIT_CODES_MAX)


_EPHEMERAL_FORBIDDEN = (
    "ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe", "readinessProbe",
    "startupProbe", "lifecycle",
)  # fmt: skip


def ephemeral_containers(path: str, spec: Mapping[str, Any], facts: PodFacts) -> Errors:
    """The containers added to debug a running Pod."""
    others = {c.get("name", "") for name in ("containers", "initContainers") for c in spec.get(name) or ()}
    names = set(others)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        item = f"{path}[{index}]"
        yield from _container(item, container, facts)
        yield from image_without_spaces(item, container)
        name = container.get("name", "")
        if name in names:
            yield FieldError.duplicate(f"{item}.name", name)
        names.add(name)
        target = container.get("targetContainerName")
        if target and target not in others:
            yield FieldError.not_found(f"{item}.targetContainerName", target)
        for field in _EPHEMERAL_FORBIDDEN:
            if container.get(field):
                yield FieldError.forbidden(f"{item}.{field}", "cannot be set for an Ephemeral Container")
        for mount_index, mount in enumerate(container.get("volumeMounts") or ()):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    where = f"{item}.volumeMounts[{mount_index}].{field}"
                    yield FieldError.forbidden(where, "cannot be set for an Ephemeral Container")


def _container(path: str, container: Container, facts: PodFacts) -> Errors:
    if not container.get("name"):
        yield FieldError.required(f"{path}.name")
    else:
        yield from dns_label(f"{path}.name", container["name"])
    if not container.get("image"):
        yield FieldError.required(f"{path}.image")
    yield from required_one_of(
        f"{path}.terminationMessagePolicy",
        container.get("terminationMessagePolicy"),
        ("File", "FallbackToLogsOnError"),
    )
    yield from _ports(f"{path}.ports", container.get("ports") or ())
    yield from environment(path, container)
    yield from volume_mounts(f"{path}.volumeMounts", container, facts.volumes)
    yield from volume_devices(f"{path}.volumeDevices", container, facts.volumes)
    yield from required_one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), PULL_POLICIES)
    yield from requirements(f"{path}.resources", container.get("resources"), facts.claim_names)
    yield from _resize_policy(f"{path}.resizePolicy", container.get("resizePolicy") or (), facts.restart_policy)
    yield from container_security(f"{path}.securityContext", container.get("securityContext"), facts.host_users)


def _ports(path: str, ports: Sequence[Mapping[str, Any]]) -> Errors:
    names: set[str] = set()
    for index, port in enumerate(ports):
        item, name = f"{path}[{index}]", port.get("name")
        if name:
            broken = port_name_errors(name)
            for message in broken:
                yield FieldError.invalid(f"{item}.name", name, message)
            if not broken and name in names:
                yield FieldError.duplicate(f"{item}.name", name)
            if not broken:
                names.add(name)
        if not port.get("containerPort"):
            yield FieldError.required(f"{item}.containerPort")
        else:
            yield from port_number(f"{item}.containerPort", port["containerPort"])
        if port.get("hostPort"):
            yield from port_number(f"{item}.hostPort", port["hostPort"])
        yield from required_one_of(f"{item}.protocol", port.get("protocol"), PROTOCOLS)


def _resize_policy(path: str, policies: Sequence[Mapping[str, Any]], pod_restart_policy: str) -> Errors:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        name, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            yield FieldError.duplicate(f"{path}[{index}]", name)
        seen.add(name)
        yield from required_one_of(path, name, ("cpu", "memory"))
        yield from required_one_of(path, restart, ("NotRequired", "RestartContainer"))
        if pod_restart_policy == "Never" and restart != "NotRequired":
            yield FieldError.invalid(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def init_resize_policies(path: str, items: Sequence[Container]) -> Errors:
    """An init container that is no sidecar may not ask to be restarted for a resize; asked of new Pods alone."""
    for index, container in enumerate(items):
        for place, policy in enumerate(container.get("resizePolicy") or ()):
            if not is_sidecar(container) and policy.get("restartPolicy") == "RestartContainer":
                detail = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                where = f"{path}[{index}].resizePolicy[{place}].restartPolicy"
                yield FieldError.invalid(where, "RestartContainer", detail)


def _unique_host_ports(path: str, items: Sequence[Container]) -> Errors:
    taken: set[str] = set()
    for index, container in enumerate(items):
        for port_index, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if key in taken:
                yield FieldError.duplicate(f"{path}[{index}].ports[{port_index}].hostPort", key)
            taken.add(key)


def image_without_spaces(path: str, container: Container) -> Errors:
    """Only Pods refuse padded image names; templates have accepted them for too long."""
    image = container.get("image") or ""
    if image != image.strip():
        yield FieldError.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
