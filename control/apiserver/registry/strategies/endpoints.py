"""Strategies of Endpoints and EndpointSlices (upstream: validateEndpointSubsets, pkg/apis/discovery/validation)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from control.api.addresses import address_warnings, find_address
from control.api.errors import FieldError
from control.api.names import dns1123_label_errors, dns1123_subdomain_errors, label_value_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import (
    PROTOCOLS,
    Errors,
    dns_label,
    dns_subdomain,
    immutable,
    ip_address,
    judged,
    label_values,
    non_special_ip,
    port_number,
    qualified_name,
    required_one_of,
)
from control.apiserver.registry.strategies.generations import bump_generation, changed_metadata
from control.apiserver.registry.strategy import Strategy, WriteContext

Item = Mapping[str, Any]

_DEPRECATED = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"


class EndpointsStrategy(Strategy):
    """Rules of Endpoints."""

    has_generation = False
    allow_create_on_update = True

    def default(self, obj: Object) -> None:
        """Ports are TCP unless told."""
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                if not port.get("protocol"):
                    port["protocol"] = "TCP"

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge subsets."""
        subsets = obj.get("subsets") or ()
        return [error for index, item in enumerate(subsets) for error in _subset(f"subsets[{index}]", item)]

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change; subsets that stay were judged before."""
        return [] if obj.get("subsets") == old.get("subsets") else self.validate(context, obj)

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """The kind is deprecated as a whole."""
        return [_DEPRECATED, *_subset_warnings(obj)]

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """The kind is deprecated as a whole."""
        return self.warnings_on_create(context, obj)


def _subset_warnings(obj: Object) -> Iterator[str]:
    for index, subset in enumerate(obj.get("subsets") or ()):
        for field in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(field) or ()):
                for text in address_warnings(address.get("ip") or ""):
                    yield f"subsets[{index}].{field}[{number}].ip: {text}"


def _subset(path: str, subset: Item) -> Errors:
    if not subset.get("addresses") and not subset.get("notReadyAddresses"):
        yield FieldError.required(path, "must specify `addresses` or `notReadyAddresses`")
    for field in ("addresses", "notReadyAddresses"):
        for index, address in enumerate(subset.get(field) or ()):
            yield from _address(f"{path}.{field}[{index}]", address)
    ports = subset.get("ports") or ()
    for index, port in enumerate(ports):
        yield from _port(f"{path}.ports[{index}]", port, needs_name=len(ports) > 1)


def _address(path: str, address: Item) -> Errors:
    ip = address.get("ip") or ""
    yield from ip_address(f"{path}.ip", ip)
    if address.get("hostname"):
        yield from dns_label(f"{path}.hostname", address["hostname"])
    if address.get("nodeName") is not None:
        yield from dns_subdomain(f"{path}.nodeName", address["nodeName"])
    yield from non_special_ip(f"{path}.ip", ip)


def _port(path: str, port: Item, *, needs_name: bool) -> Errors:
    if port.get("name"):
        yield from dns_label(f"{path}.name", port["name"])
    elif needs_name:
        yield FieldError.required(f"{path}.name")
    yield from port_number(f"{path}.port", port.get("port") or 0)
    yield from required_one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    if port.get("appProtocol") is not None:
        yield from qualified_name(f"{path}.appProtocol", port["appProtocol"])


_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_ENDPOINTS_MAX = 1000
_ADDRESSES_MAX = 100
_PORTS_MAX = 20000
_TOPOLOGY_MAX = 16


class EndpointSliceStrategy(Strategy):
    """Rules of EndpointSlices."""

    def default(self, obj: Object) -> None:
        """Ports have a name and are TCP unless told."""
        for port in obj.get("ports") or ():
            if port.get("name") is None:
                port["name"] = ""
            if port.get("protocol") is None:
                port["protocol"] = "TCP"

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """v1 has no free topology."""
        _drop_topology(obj)

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """Labels and annotations count as a change: consumers read the Service from them."""
        if obj.get("endpoints") != old.get("endpoints"):
            _drop_topology(obj)
        if changed_metadata(obj, old, "labels", "annotations"):
            bump_generation(obj, old)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge addresses and ports."""
        return list(_slice(obj, ()))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: the type of addresses is fixed."""
        known = {address for endpoint in old.get("endpoints") or () for address in endpoint.get("addresses") or ()}
        kind, old_kind = obj.get("addressType"), old.get("addressType")
        return [*_slice(obj, known), *immutable("addressType", kind, old_kind)]

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Names as addresses are deprecated; addresses that are better written otherwise."""
        return list(_slice_warnings(obj))

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """The same."""
        return list(_slice_warnings(obj))


_CONTROLLERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")


def _slice_warnings(obj: Object) -> Iterator[str]:
    if obj.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"
    manager = (obj["metadata"].get("labels") or {}).get("endpointslice.kubernetes.io/managed-by")
    if manager in _CONTROLLERS:
        return
    for index, endpoint in enumerate(obj.get("endpoints") or ()):
        for number, address in enumerate(endpoint.get("addresses") or ()):
            for text in address_warnings(address):
                yield f"endpoints[{index}].addresses[{number}]: {text}"


def _drop_topology(obj: Object) -> None:
    for endpoint in obj.get("endpoints") or ():
        endpoint.pop("deprecatedTopology", None)


def _slice(obj: Item, known: Collection[str]) -> Errors:
    kind = obj.get("addressType") or ""
    yield from required_one_of("addressType", kind, _ADDRESS_TYPES)
    yield from _slice_endpoints("endpoints", obj.get("endpoints") or (), kind, known)
    yield from _slice_ports("ports", obj.get("ports") or ())


def _slice_endpoints(path: str, endpoints: Sequence[Item], kind: str, known: Collection[str]) -> Errors:
    if len(endpoints) > _ENDPOINTS_MAX:
        yield FieldError.too_many(path, len(endpoints), _ENDPOINTS_MAX)
        return
    for index, endpoint in enumerate(endpoints):
        item, addresses = f"{path}[{index}]", endpoint.get("addresses") or ()
        if not addresses:
            yield FieldError.required(f"{item}.addresses", "must contain at least 1 address")
        elif len(addresses) > _ADDRESSES_MAX:
            yield FieldError.too_many(f"{item}.addresses", len(addresses), _ADDRESSES_MAX)
        for address_index, address in enumerate(addresses):
            yield from _slice_address(f"{item}.addresses[{address_index}]", address, kind, known)
        if endpoint.get("nodeName") is not None:
            yield from dns_subdomain(f"{item}.nodeName", endpoint["nodeName"])
        topology = endpoint.get("deprecatedTopology") or {}
        if len(topology) > _TOPOLOGY_MAX:
            yield FieldError.too_many(f"{item}.deprecatedTopology", len(topology), _TOPOLOGY_MAX)
        yield from label_values(f"{item}.deprecatedTopology", topology)
        if endpoint.get("hostname") is not None:
            yield from dns_label(f"{item}.hostname", endpoint["hostname"])
        yield from _hints(f"{item}.hints", endpoint.get("hints") or {})


def _hints(path: str, hints: Item) -> Errors:
    for field, most, rule in (("forZones", 8, label_value_errors), ("forNodes", 8, dns1123_subdomain_errors)):
        items, seen = hints.get(field) or (), set()
        if len(items) > most:
            yield FieldError.too_many(f"{path}.{field}", len(items), most)
            return
        for index, item in enumerate(items):
            name, where = item.get("name") or "", f"{path}.{field}[{index}].name"
            if name in seen:
                yield FieldError.duplicate(where, name)
            seen.add(name)
            yield from judged(where, name, rule)


def _slice_address(path: str, address: str, kind: str, known: Collection[str]) -> Errors:
    if kind == "FQDN":
        yield from _domain(path, address)
        return
    if kind not in ("IPv4", "IPv6"):
        return
    broken = list(ip_address(path, address, known))
    yield from broken
    parsed = find_address(address)
    if not broken and parsed is not None and f"IPv{parsed.version}" != kind:
        yield FieldError.invalid(path, address, f"must be an {kind} address")
    yield from non_special_ip(path, address)


def _domain(path: str, text: str) -> Errors:
    if not text:
        yield FieldError.required(path)
        return
    name = text.removesuffix(".")
    problems = dns1123_subdomain_errors(name)
    if problems:
        yield FieldError.invalid(path, name, ",".join(problems))
        return
    if "." not in name:
        yield FieldError.invalid(path, name, "should be a domain with at least two segments separated by dots")
        return
    for label in name.split("."):
        if dns1123_label_errors(label):
            yield FieldError.invalid(path, label, ",".join(dns1123_label_errors(label)))
            return


def _slice_ports(path: str, ports: Sequence[Item]) -> Errors:
    if len(ports) > _PORTS_MAX:
        yield FieldError.too_many(path, len(ports), _PORTS_MAX)
        return
    names: set[str] = set()
    for index, port in enumerate(ports):
        item, name = f"{path}[{index}]", port.get("name") or ""
        if name:
            yield from dns_label(f"{item}.name", name)
        if name in names:
            yield FieldError.duplicate(f"{item}.name", name)
        names.add(name)
        yield from required_one_of(f"{item}.protocol", port.get("protocol"), PROTOCOLS)
        if port.get("appProtocol") is not None:
            yield from qualified_name(f"{item}.appProtocol", port["appProtocol"])
