"""Strategies of Ingresses and IngressClasses (upstream: pkg/apis/networking/{v1/defaults,validation/validation}.go)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from control.api.addresses import address_warnings, find_address
from control.api.errors import FieldError
from control.api.names import dns1123_label_errors, path_segment_name_errors, wildcard_dns1123_subdomain_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    dns_label,
    dns_subdomain,
    immutable,
    ip_address,
    judged,
    one_of,
    port_number,
    port_or_name,
)
from control.apiserver.registry.strategies.service_validation import ingress_hostname
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategy import Strategy, WriteContext

Item = Mapping[str, Any]

_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")


class IngressStrategy(StatusStrategy):
    """Rules of Ingresses."""

    empty_status: ClassVar[dict[str, Any]] = {"loadBalancer": {}}

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new Ingress."""
        errors = list(_ingress_spec("spec", obj["spec"]))
        annotated = (obj["metadata"].get("annotations") or {}).get(_CLASS_ANNOTATION)
        class_name = obj["spec"].get("ingressClassName")
        if annotated is not None and class_name is not None and annotated != class_name:
            detail = "must match `ingressClassName` when both are specified"
            errors.append(FieldError.invalid(f"annotations.{_CLASS_ANNOTATION}", annotated, detail))
        return errors

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed Ingress; annotation and class may differ by now."""
        return list(_ingress_spec("spec", obj["spec"], old["spec"]))

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge the addresses at which the Ingress is reached."""
        known = [item["ip"] for item in _ingresses(old) if item.get("ip")]
        return [error for index, item in enumerate(_ingresses(obj)) for error in _address(index, item, known)]

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """The annotation is older than the field."""
        annotated = _CLASS_ANNOTATION in (obj["metadata"].get("annotations") or {})
        if not annotated or obj["spec"].get("ingressClassName") is not None:
            return []
        return [f"annotation \"{_CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"]

    def warnings_on_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """Addresses that are better written otherwise."""
        return [
            f"status.loadBalancer.ingress[{index}].ip: {text}"
            for index, item in enumerate(_ingresses(obj))
            for text in address_warnings(item.get("ip") or "")
        ]


def _ingresses(obj: Object) -> list[Object]:
    return ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []


def _address(index: int, item: Item, known: Collection[str]) -> Errors:
    path = f"status.loadBalancer.ingress[{index}]"
    if item.get("ip"):
        yield from ip_address(f"{path}.ip", item["ip"], known)
    yield from ingress_hostname(f"{path}.hostname", item.get("hostname") or "")


def _ingress_spec(path: str, spec: Item, old: Item | None = None) -> Errors:
    rules, backend = spec.get("rules") or (), spec.get("defaultBackend")
    if not rules and backend is None:
        yield FieldError.invalid(path, spec.get("rules"), "either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        yield from _backend(f"{path}.defaultBackend", backend)
    free_wildcards = any(
        "*" in (rule.get("host") or "") and list(_rule_value("", rule)) for rule in (old or {}).get("rules") or ()
    )
    for index, rule in enumerate(rules):
        yield from _host(f"{path}.rules[{index}].host", rule.get("host") or "")
        if not (free_wildcards and "*" in (rule.get("host") or "")):
            yield from _rule_value(f"{path}.rules[{index}]", rule)
    free_secrets = any(list(_secret("", item)) for item in (old or {}).get("tls") or ())
    for index, item in enumerate(spec.get("tls") or ()):
        for host_index, host in enumerate(item.get("hosts") or ()):
            yield from _dns_name(f"{path}.tls[{index}].hosts[{host_index}]", host)
        if not free_secrets:
            yield from _secret(f"{path}.tls[{index}]", item)
    if spec.get("ingressClassName") is not None:
        yield from dns_subdomain(f"{path}.ingressClassName", spec["ingressClassName"])


def _secret(path: str, item: Item) -> Errors:
    if item.get("secretName"):
        yield from dns_subdomain(f"{path}.secretName", item["secretName"])


def _host(path: str, host: str) -> Errors:
    if not host:
        return
    if find_address(host) is not None:
        yield FieldError.invalid(path, host, "must be a DNS name, not an IP address")
    yield from _dns_name(path, host)


def _dns_name(path: str, host: str) -> Errors:
    if "*" in host:
        yield from judged(path, host, wildcard_dns1123_subdomain_errors)
    else:
        yield from dns_subdomain(path, host)


def _rule_value(path: str, rule: Item) -> Errors:
    http = rule.get("http")
    if http is None:
        return
    if not http.get("paths"):
        yield FieldError.required(f"{path}.http.paths")
    for index, item in enumerate(http.get("paths") or ()):
        yield from _ingress_path(f"{path}.http.paths[{index}]", item)


_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES = ("/..", "/.")


def _ingress_path(path: str, item: Item) -> Errors:
    kind, url = item.get("pathType"), item.get("path") or ""
    if kind is None:
        yield FieldError.required(f"{path}.pathType", "pathType must be specified")
        return
    if kind in ("Exact", "Prefix"):
        if not url.startswith("/"):
            yield FieldError.invalid(f"{path}.path", url, "must be an absolute path")
        for bad in _BAD_SEQUENCES:
            if bad in url:
                yield FieldError.invalid(f"{path}.path", url, f"must not contain '{bad}'")
        for bad in _BAD_SUFFIXES:
            if url.endswith(bad):
                yield FieldError.invalid(f"{path}.path", url, f"cannot end with '{bad}'")
    elif kind == "ImplementationSpecific":
        if url and not url.startswith("/"):
            yield FieldError.invalid(f"{path}.path", url, "must be an absolute path")
    else:
        yield FieldError.not_supported(f"{path}.pathType", kind, _PATH_TYPES)
    yield from _backend(f"{path}.backend", item.get("backend") or {})


def _backend(path: str, backend: Item) -> Errors:
    service, resource = backend.get("service"), backend.get("resource")
    if resource is not None and service is not None:
        yield FieldError.invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from _typed_reference(f"{path}.resource", resource)
    elif service is None:
        yield FieldError.invalid(path, "", "resource or service backend is required")
    else:
        yield from _service_backend(path, service)


def _service_backend(path: str, service: Item) -> Errors:
    name, port = service.get("name") or "", service.get("port") or {}
    if not name:
        yield FieldError.required(f"{path}.service.name")
    else:
        yield from judged(f"{path}.service.name", name, dns1123_label_errors)
    if port.get("name") and port.get("number"):
        yield FieldError.invalid(path, "", "cannot set both port name & port number")
    elif port.get("name"):
        yield from port_or_name(f"{path}.service.port.name", port["name"])
    elif port.get("number"):
        yield from port_number(f"{path}.service.port.number", port["number"])
    else:
        yield FieldError.required(path, "port name or number is required")


def _typed_reference(path: str, reference: Item) -> Errors:
    if reference.get("apiGroup") is not None:
        yield from dns_subdomain(f"{path}.apiGroup", reference["apiGroup"])
    for name in ("kind", "name"):
        if not reference.get(name):
            yield FieldError.required(f"{path}.{name}", f"{name} is required")
        else:
            yield from judged(f"{path}.{name}", reference[name], path_segment_name_errors)


class IngressClassStrategy(Strategy):
    """Rules of IngressClasses."""

    def default(self, obj: Object) -> None:
        """Parameters are cluster-wide unless told."""
        parameters = obj.setdefault("spec", {}).get("parameters")
        if parameters is not None and not parameters.get("scope"):
            parameters["scope"] = "Cluster"

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge controller and parameters."""
        spec = obj["spec"]
        errors = list(_controller("spec.controller", spec.get("controller") or ""))
        return errors + list(_parameters("spec.parameters", spec.get("parameters")))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: the controller is fixed."""
        controller, old_controller = (item["spec"].get("controller") or "" for item in (obj, old))
        errors = list(immutable("spec.controller", controller, old_controller))
        return errors + self.validate(context, obj)


def _controller(path: str, name: str) -> Errors:
    if len(name) > 250:
        yield FieldError.too_long(path, 250)
    domain, slash, rest = name.partition("/")
    if not name:
        yield FieldError.required(path)
    elif not slash or not domain or not rest:
        yield FieldError.invalid(path, name, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        yield from dns_subdomain(path, domain)


def _parameters(path: str, parameters: Item | None) -> Errors:
    if parameters is None:
        return
    yield from _typed_reference(path, parameters)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        yield FieldError.required(f"{path}.scope")
        return
    yield from one_of(f"{path}.scope", scope, ("Cluster", "Namespace"))
    if scope == "Namespace":
        if namespace is None:
            yield FieldError.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
        else:
            yield from dns_label(f"{path}.namespace", namespace)
    elif scope == "Cluster" and namespace is not None:
        yield FieldError.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
