"""Strategies of networking.k8s.io (upstream: pkg/apis/networking/{v1/defaults,validation/validation}.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from control.api.addresses import find_address, find_network
from control.api.errors import FieldError
from control.api.names import dns1123_label_errors, path_segment_name_errors, wildcard_dns1123_subdomain_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    cidr,
    dns_label,
    dns_subdomain,
    immutable,
    in_range,
    judged,
    label_selector,
    one_of,
    port_number,
    port_or_name,
)
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
            path = f"metadata.annotations.{_CLASS_ANNOTATION}"
            errors.insert(0, FieldError.invalid(path, annotated, detail))
        return errors

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed Ingress; annotation and class may differ by now."""
        return list(_ingress_spec("spec", obj["spec"]))


def _ingress_spec(path: str, spec: Item) -> Errors:
    rules, backend = spec.get("rules") or (), spec.get("defaultBackend")
    if not rules and backend is None:
        yield FieldError.invalid(path, None, "either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        yield from _backend(f"{path}.defaultBackend", backend)
    for index, rule in enumerate(rules):
        yield from _ingress_rule(f"{path}.rules[{index}]", rule)
    for index, item in enumerate(spec.get("tls") or ()):
        for host_index, host in enumerate(item.get("hosts") or ()):
            where = f"{path}.tls[{index}].hosts[{host_index}]"
            if "*" in host:
                yield from judged(where, host, wildcard_dns1123_subdomain_errors)
            else:
                yield from dns_subdomain(where, host)
    if spec.get("ingressClassName") is not None:
        yield from dns_subdomain(f"{path}.ingressClassName", spec["ingressClassName"])


def _ingress_rule(path: str, rule: Item) -> Errors:
    host = rule.get("host") or ""
    if host:
        if find_address(host) is not None:
            yield FieldError.invalid(f"{path}.host", host, "must be a DNS name, not an IP address")
        if "*" in host:
            yield from judged(f"{path}.host", host, wildcard_dns1123_subdomain_errors)
        else:
            yield from dns_subdomain(f"{path}.host", host)
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
    elif kind in ("Exact", "Prefix"):
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
        for name in ("kind", "name"):
            if not resource.get(name):
                yield FieldError.required(f"{path}.resource.{name}")
    elif service is None:
        yield FieldError.required(path, "resource or service backend is required")
    else:
        yield from _service_backend(f"{path}.service", service)


def _service_backend(path: str, service: Item) -> Errors:
    name, port = service.get("name") or "", service.get("port") or {}
    if not name:
        yield FieldError.required(f"{path}.name")
    else:
        yield from judged(f"{path}.name", name, dns1123_label_errors)
    if port.get("name") and port.get("number"):
        yield FieldError.invalid(path, "", "cannot set both port name & port number")
    elif port.get("name"):
        yield from port_or_name(f"{path}.port.name", port["name"])
    elif port.get("number"):
        yield from port_number(f"{path}.port.number", port["number"])
    else:
        yield FieldError.required(path, "port name or number is required")


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
        return errors + list(_parameters("spec.parameters", obj["spec"].get("parameters")))


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
    if parameters.get("apiGroup") is not None:
        yield from dns_subdomain(f"{path}.apiGroup", parameters["apiGroup"])
    for name in ("kind", "name"):
        if not parameters.get(name):
            yield FieldError.required(f"{path}.{name}")
        else:
            yield from judged(f"{path}.{name}", parameters[name], path_segment_name_errors)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        yield FieldError.required(f"{path}.scope")
        return
    yield from one_of(f"{path}.scope", scope, ("Cluster", "Namespace"))
    if scope == "Namespace":
        if not namespace:
            yield FieldError.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
        else:
            yield from dns_label(f"{path}.namespace", namespace)
    elif scope == "Cluster" and namespace is not None:
        yield FieldError.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")


class NetworkPolicyStrategy(Strategy):
    """Rules of NetworkPolicies."""

    def default(self, obj: Object) -> None:
        """A policy is about ingress, and about egress when it has such rules; ports are TCP."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("podSelector", {})
        for direction in ("ingress", "egress"):
            for rule in spec.get(direction) or ():
                for port in rule.get("ports") or ():
                    if port.get("protocol") is None:
                        port["protocol"] = "TCP"
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge selectors, peers and ports."""
        return list(_network_policy("spec", obj["spec"]))


def _network_policy(path: str, spec: Item) -> Errors:
    yield from label_selector(f"{path}.podSelector", spec.get("podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            item = f"{path}.{direction}[{index}]"
            for port_index, port in enumerate(rule.get("ports") or ()):
                yield from _policy_port(f"{item}.ports[{port_index}]", port)
            for peer_index, peer in enumerate(rule.get(peers) or ()):
                yield from _policy_peer(f"{item}.{peers}[{peer_index}]", peer)
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        detail = "may not specify more than two policyTypes"
        yield FieldError.invalid(f"{path}.policyTypes", types, detail)
        return
    for index, kind in enumerate(types):
        yield from one_of(f"{path}.policyTypes[{index}]", kind, ("Ingress", "Egress"))


def _policy_port(path: str, port: Item) -> Errors:
    protocol, value, end = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None:
        yield from one_of(f"{path}.protocol", protocol, ("TCP", "UDP", "SCTP"))
    if value is not None:
        yield from port_or_name(f"{path}.port", value)
        if isinstance(value, int):
            if end is not None:
                if end < value:
                    # Upstream shows the port, not the end.
                    yield FieldError.invalid(f"{path}.endPort", value, "must be greater than or equal to `port`")
                yield from in_range(f"{path}.endPort", end, 1, 65535)
        elif end is not None:
            detail = "may not be specified when `port` is non-numeric"
            yield FieldError.invalid(f"{path}.endPort", end, detail)
    elif end is not None:
        yield FieldError.invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified")


def _policy_peer(path: str, peer: Item) -> Errors:
    given = 0
    for name in ("podSelector", "namespaceSelector"):
        if peer.get(name) is not None:
            given += 1
            yield from label_selector(f"{path}.{name}", peer[name])
    block = peer.get("ipBlock")
    if block is not None:
        yield from _ip_block(f"{path}.ipBlock", block)
        if given:
            yield FieldError.forbidden(path, "may not specify both ipBlock and another peer")
    elif not given:
        yield FieldError.required(path, "must specify a peer")


def _ip_block(path: str, block: Item) -> Errors:
    text = block.get("cidr") or ""
    if not text:
        yield FieldError.required(f"{path}.cidr")
        return
    broken = list(cidr(f"{path}.cidr", text))
    yield from broken
    network = find_network(text)
    if network is None:
        return
    for index, item in enumerate(block.get("except") or ()):
        where = f"{path}.except[{index}]"
        excepted = find_network(item)
        if excepted is None:
            yield from cidr(where, item)
        elif not _is_strict_subset(excepted, network):
            yield FieldError.invalid(where, item, "must be a strict subset of `cidr`")


def _is_strict_subset(inner: Any, outer: Any) -> bool:
    return bool(inner.version == outer.version and inner.prefixlen > outer.prefixlen and inner.subnet_of(outer))


class IpAddressStrategy(Strategy):
    """Rules of IPAddresses, whose name is the address."""

    has_generation = False

    def name_errors(self, name: str) -> list[str]:
        """A canonical address."""
        address = find_address(name)
        if address is None:
            return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
        return [] if str(address) == name else [f'must be in canonical form ("{address}")']

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge the reference to the owner."""
        reference = obj["spec"].get("parentRef")
        if reference is None:
            return [FieldError.required("spec.parentRef")]
        errors = []
        for name in ("resource", "name"):
            if not reference.get(name):
                errors.append(FieldError.required(f"spec.parentRef.{name}"))
        return errors

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """The owner is fixed."""
        return list(immutable("spec.parentRef", obj["spec"].get("parentRef"), old["spec"].get("parentRef")))


class ServiceCidrStrategy(StatusStrategy):
    """Rules of ServiceCIDRs."""

    has_generation = False

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge the ranges."""
        return list(_ranges("spec.cidrs", obj["spec"].get("cidrs") or []))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: a range never changes, a second family may be added."""
        ranges, old_ranges = (item["spec"].get("cidrs") or [] for item in (obj, old))
        errors: list[FieldError] = []
        for index, text in enumerate(old_ranges):
            errors.extend(immutable(f"spec.cidrs[{index}]", ranges[index] if index < len(ranges) else None, text))
        return errors if len(ranges) == len(old_ranges) else errors + list(_ranges("spec.cidrs", ranges))


def _ranges(path: str, ranges: Sequence[str]) -> Errors:
    if not ranges:
        yield FieldError.required(path, "at least one CIDR required")
        return
    if len(ranges) > 2:
        yield FieldError.invalid(path, list(ranges), "may only hold up to 2 values")
    for index, text in enumerate(ranges):
        network = find_network(text)
        if network is None:
            yield from cidr(f"{path}[{index}]", text)
        elif str(network.network_address) != text.partition("/")[0]:
            detail = "must not have bits set beyond the prefix length"
            yield FieldError.invalid(f"{path}[{index}]", text, detail)
    families = [network.version for network in map(find_network, ranges) if network is not None]
    if len(families) == 2 and families[0] == families[1]:
        detail = "may specify no more than one IP for each IP family"
        yield FieldError.invalid(path, list(ranges), detail)
