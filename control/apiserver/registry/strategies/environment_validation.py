"""Rules of environment variables and of references to Pod fields (upstream: ValidateEnv and below)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api import names
from control.api.errors import FieldError
from control.apiserver.registry.strategies.field_rules import Errors, dns_label, dns_subdomain, judged, no_backsteps
from control.apiserver.registry.strategies.resource_lists import quantity

ENV_FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELD_PATHS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
_POD_FIELD_PATHS = frozenset(ENV_FIELD_PATHS + VOLUME_FIELD_PATHS) | {
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.host",
    "status.phase",
}
#: names of the first clients, converted when they are read
_OLD_NAMES = {"spec.host": "spec.nodeName"}
_RESOURCE_FIELDS = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_SIZE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def environment(path: str, container: Mapping[str, Any]) -> Errors:
    """`env` and `envFrom` of a container."""
    for index, variable in enumerate(container.get("env") or ()):
        item, name = f"{path}.env[{index}]", variable.get("name", "")
        if not name:
            yield FieldError.required(f"{item}.name")
        else:
            yield from judged(f"{item}.name", name, names.env_var_name_errors)
        if variable.get("valueFrom") is not None:
            yield from _value_from(f"{item}.valueFrom", variable["valueFrom"], variable.get("value"))
    for index, source in enumerate(container.get("envFrom") or ()):
        yield from _env_from(f"{path}.envFrom", index, source)


def _value_from(path: str, source: Mapping[str, Any], value: str | None) -> Errors:
    given = [name for name in _SOURCES if source.get(name) is not None]
    for name in given:
        reference = source[name]
        if name == "fieldRef":
            yield from field_reference(f"{path}.fieldRef", reference, ENV_FIELD_PATHS)
        elif name == "resourceFieldRef":
            yield from resource_reference(f"{path}.resourceFieldRef", reference, in_volume=False)
        elif name == "fileKeyRef":
            yield from _file_key(f"{path}.fileKeyRef", reference)
        else:
            yield from _key_selector(f"{path}.{name}", reference)
    if not given:
        listing = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield FieldError.invalid(path, "", f"must specify one of: {listing}")
    elif value:
        yield FieldError.invalid(path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield FieldError.invalid(path, "", "may not have more than one field specified at a time")


def field_reference(path: str, reference: Mapping[str, Any], supported: tuple[str, ...]) -> Errors:
    """An ObjectFieldSelector."""
    version, field = reference.get("apiVersion"), reference.get("fieldPath")
    if not version:
        yield FieldError.required(f"{path}.apiVersion")
        return
    if not field:
        yield FieldError.required(f"{path}.fieldPath")
        return
    stem, subscript = _split_subscript(field)
    problem = _conversion_problem(version, field, stem, subscript)
    if problem:
        yield FieldError.invalid(f"{path}.fieldPath", field, f"error converting fieldPath: {problem}")
    elif subscript is not None:
        key = subscript.lower() if stem == "metadata.annotations" else subscript
        yield from judged(path, key, names.qualified_name_errors)
    elif _OLD_NAMES.get(field, field) not in supported:
        yield FieldError.not_supported(f"{path}.fieldPath", _OLD_NAMES.get(field, field), supported)


def _split_subscript(field: str) -> tuple[str, str | None]:
    if field.endswith("']") and "['" in field:
        stem, _, rest = field.partition("['")
        if stem:
            return stem, rest[:-2]
    return field, None


def _conversion_problem(version: str, field: str, stem: str, subscript: str | None) -> str:
    if version != "v1":
        return f"unsupported pod version: {version}"
    if subscript is not None:
        known = stem in ("metadata.annotations", "metadata.labels")
        return "" if known else f"field label does not support subscript: {field}"
    return "" if field in _POD_FIELD_PATHS else f"field label not supported: {field}"


def resource_reference(path: str, reference: Mapping[str, Any], *, in_volume: bool) -> Errors:
    """A ResourceFieldSelector; in a volume it must name its container."""
    resource = reference.get("resource", "")
    hugepages = resource.startswith(("limits.hugepages-", "requests.hugepages-"))
    if in_volume and not reference.get("containerName"):
        yield FieldError.required(f"{path}.containerName")
    elif not resource:
        yield FieldError.required(f"{path}.resource")
    elif resource not in _RESOURCE_FIELDS and not hugepages:
        yield FieldError.not_supported(f"{path}.resource", resource, _RESOURCE_FIELDS)
    divisor = str(quantity(reference.get("divisor") or "0"))
    if divisor == "0":
        return
    kind = "hugepages" if hugepages else resource.partition(".")[2]
    if kind == "cpu":
        if divisor not in ("1", "1m"):
            detail = "only divisor's values 1m and 1 are supported with the cpu resource"
            yield FieldError.invalid(f"{path}.divisor", resource, detail)
    elif kind in ("memory", "ephemeral-storage", "hugepages") and divisor not in _SIZE_DIVISORS:
        named = "local ephemeral storage" if kind == "ephemeral-storage" else kind
        detail = f"only divisor's values {', '.join(_SIZE_DIVISORS)} are supported with the {named} resource"
        yield FieldError.invalid(f"{path}.divisor", resource, detail)


def _key_selector(path: str, selector: Mapping[str, Any]) -> Errors:
    yield from dns_subdomain(f"{path}.name", selector.get("name", ""))
    if not selector.get("key"):
        yield FieldError.required(f"{path}.key")
    else:
        yield from judged(f"{path}.key", selector["key"], names.config_map_key_errors)


def _file_key(path: str, selector: Mapping[str, Any]) -> Errors:
    for field, rule in (("key", _env_name), ("volumeName", dns_label), ("path", no_backsteps)):
        if not selector.get(field):
            yield FieldError.required(f"{path}.{field}")
        else:
            yield from rule(f"{path}.{field}", selector[field])


def _env_name(path: str, name: str) -> Errors:
    return judged(path, name, names.env_var_name_errors)


def _reference_errors(name: str) -> list[str]:
    """Upstream judges these as names yet to be completed: a trailing dash passes."""
    return names.dns1123_subdomain_errors(f"{name[:-1]}a" if name.endswith("-") else name)


def _env_from(path: str, index: int, source: Mapping[str, Any]) -> Errors:
    item = f"{path}[{index}]"
    if source.get("prefix"):
        yield from judged(f"{item}.prefix", source["prefix"], names.env_var_name_errors)
    given = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
    for name in given:
        reference = source[name].get("name", "")
        if not reference:
            yield FieldError.required(f"{item}.{name}.name")
        else:
            yield from judged(f"{item}.{name}.name", reference, _reference_errors)
    if not given:
        yield FieldError.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
    elif len(given) > 1:
        yield FieldError.invalid(path, "", "may not have more than one field specified at a time")
