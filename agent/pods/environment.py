"""A container's environment, and `$(VAR)` in its command. Pure.

The executor reads the ConfigMaps and Secrets that `environment_references` names and passes them in. Order and texts
are the kubelet's makeEnvironmentVariables (pkg/kubelet/kubelet_pods.go, v1.36): envFrom, then env in order with
`$(VAR)` resolved from what came before, envFrom included, then the variables of the Services, which never replace one
that is set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.pods.env_file import EnvFileError, parse_env_file
from agent.pods.field_reference import FieldReferenceError, NodeFacts, resolve_field, resolve_resource
from control.api.objects import ReadOnlyObject

# A reference ends at the first closing bracket, whatever is in it: `$(A$(B))` asks for a variable `A$(B`.
_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\)|)")


class ConfigurationError(Exception):
    """The container cannot be configured: CreateContainerConfigError with this message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A ConfigMap or Secret that a container's environment needs. `kind` is `configmap` or `secret`."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReference:
    """A file of a volume that a container's environment needs."""

    volume: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentInputs:
    """Everything besides the Pod: objects and files by reference (None: does not exist), Services, the node."""

    objects: Mapping[Reference, ReadOnlyObject | None] = field(default_factory=dict)
    files: Mapping[FileReference, str | None] = field(default_factory=dict)
    services: Sequence[ReadOnlyObject] = ()
    pod_ip: str = ""
    host_ip: str = ""
    node: NodeFacts = field(default_factory=lambda: NodeFacts())


def environment_references(container: ReadOnlyObject) -> list[Reference]:
    """Every ConfigMap and Secret the container's environment names."""
    found: dict[Reference, None] = {}
    for source in container.get("envFrom") or ():
        for field_name, kind in (("configMapRef", "configmap"), ("secretRef", "secret")):
            if source.get(field_name):
                found[Reference(kind=kind, name=source[field_name].get("name", ""))] = None
    for variable in container.get("env") or ():
        value_from = variable.get("valueFrom") or {}
        for field_name, kind in (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")):
            if value_from.get(field_name):
                found[Reference(kind=kind, name=value_from[field_name].get("name", ""))] = None
    return list(found)


def file_references(container: ReadOnlyObject) -> list[FileReference]:
    """Every file of a volume the container's environment names."""
    selectors = [(variable.get("valueFrom") or {}).get("fileKeyRef") for variable in container.get("env") or ()]
    return list(dict.fromkeys(_file_reference(selector) for selector in selectors if selector))


def _file_reference(selector: Mapping[str, Any]) -> FileReference:
    return FileReference(volume=selector["volumeName"], path=selector["path"])


def make_environment(pod: ReadOnlyObject, container: ReadOnlyObject, inputs: EnvironmentInputs) -> dict[str, str]:
    """The variables in their order. Raises ConfigurationError in the kubelet's words."""
    services = service_environment(pod, inputs.services)
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        result.update(_from_source(pod, source, inputs))
    for variable in container.get("env") or ():
        value = _value_of(pod, container, variable, inputs, result, services)
        if value is not None:
            result[variable["name"]] = value
    for name, value in services.items():
        result.setdefault(name, value)
    return result


def expand(text: str, *scopes: Mapping[str, str]) -> str:
    """Resolve `$(VAR)` from the first scope that has it; an unknown one stays, `$$` is a dollar."""

    def replace(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        name = match.group(1)
        if name is None:
            return "$"
        return next((scope[name] for scope in scopes if name in scope), match.group(0))

    return _REFERENCE.sub(replace, text)


def expand_all(texts: Iterable[str], environment: Mapping[str, str]) -> list[str]:
    """A command or argument list with its `$(VAR)`s resolved."""
    return [expand(text, environment) for text in texts]


def expand_static(texts: Iterable[str], container: ReadOnlyObject) -> list[str]:
    """A probe's command with its `$(VAR)`s resolved: from the texts of the container's `env` alone, as they stand."""
    return expand_all(texts, {item["name"]: item.get("value") or "" for item in container.get("env") or ()})


def service_environment(pod: ReadOnlyObject, services: Sequence[ReadOnlyObject]) -> dict[str, str]:
    """The variables of the Services of the Pod's namespace, and always those of `default/kubernetes`."""
    namespace = pod["metadata"].get("namespace", "default")
    wants_links = pod["spec"].get("enableServiceLinks", True)
    chosen: dict[str, ReadOnlyObject] = {}
    for service in services:
        metadata = service["metadata"]
        is_api = metadata["name"] == "kubernetes" and metadata.get("namespace") == "default"
        if not _has_cluster_ip(service):
            continue
        if is_api:
            chosen.setdefault("kubernetes", service)
        elif wants_links and metadata.get("namespace") == namespace:
            chosen[metadata["name"]] = service
    result: dict[str, str] = {}
    for name in sorted(chosen):
        result.update(_service_variables(chosen[name]))
    return result


def _has_cluster_ip(service: ReadOnlyObject) -> bool:
    return (service.get("spec") or {}).get("clusterIP") not in (None, "", "None") and bool(service["spec"].get("ports"))


def _service_variables(service: ReadOnlyObject) -> dict[str, str]:
    prefix = service["metadata"]["name"].upper().replace("-", "_")
    spec = service["spec"]
    host, ports = spec["clusterIP"], spec["ports"]
    literal = f"[{host}]" if ":" in host else host
    result = {f"{prefix}_SERVICE_HOST": host, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            result[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    first = ports[0]
    result[f"{prefix}_PORT"] = f"{first.get('protocol', 'TCP').lower()}://{literal}:{first['port']}"
    for port in ports:
        protocol = port.get("protocol", "TCP")
        stem = f"{prefix}_PORT_{port['port']}_{protocol.upper()}"
        result[stem] = f"{protocol.lower()}://{literal}:{port['port']}"
        result[f"{stem}_PROTO"] = protocol.lower()
        result[f"{stem}_PORT"] = str(port["port"])
        result[f"{stem}_ADDR"] = host
    return result


def _from_source(pod: ReadOnlyObject, source: Mapping[str, Any], inputs: EnvironmentInputs) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for field_name, kind in (("configMapRef", "configmap"), ("secretRef", "secret")):
        reference = source.get(field_name)
        if not reference:
            continue
        obj = _object(kind, reference, inputs)
        if obj is None:
            return {}
        values = _texts(kind, obj)
        return {prefix + name: value for name, value in sorted(values.items()) if name and "=" not in prefix + name}
    return {}


def _value_of(
    pod: ReadOnlyObject,
    container: ReadOnlyObject,
    variable: Mapping[str, Any],
    inputs: EnvironmentInputs,
    known: Mapping[str, str],
    services: Mapping[str, str],
) -> str | None:
    if variable.get("value"):
        return expand(variable["value"], known, services)
    value_from = variable.get("valueFrom")
    if not value_from:
        return ""
    try:
        if "fieldRef" in value_from:
            return resolve_field(pod, value_from["fieldRef"]["fieldPath"], pod_ip=inputs.pod_ip, host_ip=inputs.host_ip)
        if "resourceFieldRef" in value_from:
            return resolve_resource(pod, container, value_from["resourceFieldRef"], inputs.node)
    except FieldReferenceError as error:
        raise ConfigurationError(str(error)) from error
    if "configMapKeyRef" in value_from:
        return _key(pod, "configmap", "ConfigMap", value_from["configMapKeyRef"], inputs)
    if "secretKeyRef" in value_from:
        return _key(pod, "secret", "Secret", value_from["secretKeyRef"], inputs)
    if "fileKeyRef" in value_from:
        return _file_key(value_from["fileKeyRef"], inputs)
    raise ConfigurationError(f"env {variable['name']}: valueFrom of this type is not supported")


def _file_key(selector: Mapping[str, Any], inputs: EnvironmentInputs) -> str | None:
    """An empty value counts as none.

    Optional is the key alone: a missing file is an error either way (makeEnvironmentVariables in
    pkg/kubelet/kubelet_pods.go, v1.36), although the field's documentation says otherwise.
    """
    reference, key = _file_reference(selector), selector["key"]
    text = inputs.files.get(reference)
    if text is None:
        raise ConfigurationError("couldn't parse env file")
    try:
        value = parse_env_file(text).get(key)
    except EnvFileError as error:
        raise ConfigurationError("couldn't parse env file") from error
    if not value and not selector.get("optional"):
        raise ConfigurationError(f'environment variable key "{key}" not found in file "{reference.path}"')
    return value or None


def _key(
    pod: ReadOnlyObject, kind: str, title: str, selector: Mapping[str, Any], inputs: EnvironmentInputs
) -> str | None:
    obj = _object(kind, selector, inputs)
    if obj is None:
        return None
    values = _texts(kind, obj)
    key = selector["key"]
    if key in values:
        return values[key]
    if selector.get("optional"):
        return None
    namespace = pod["metadata"].get("namespace", "default")
    raise ConfigurationError(f"couldn't find key {key} in {title} {namespace}/{selector.get('name', '')}")


def _object(kind: str, reference: Mapping[str, Any], inputs: EnvironmentInputs) -> ReadOnlyObject | None:
    name = reference.get("name", "")
    obj = inputs.objects.get(Reference(kind=kind, name=name))
    if obj is None and not reference.get("optional"):
        resource = "configmap" if kind == "configmap" else "secret"
        raise ConfigurationError(f'{resource} "{name}" not found')
    return obj


def _texts(kind: str, obj: ReadOnlyObject) -> dict[str, str]:
    data = obj.get("data") or {}
    if kind == "configmap":
        return dict(data)
    from base64 import b64decode  # only Secrets are encoded

    return {name: b64decode(value).decode("utf-8", "replace") for name, value in data.items()}
