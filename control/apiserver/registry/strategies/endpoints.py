"""Strategies of Endpoints and EndpointSlices (upstream: validateEndpointSubsets, pkg/apis/discovery/validation)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control.api.addresses import find_address
from control.api.errors import FieldError
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import (
    PROTOCOLS,
    Errors,
    dns_label,
    dns_subdomain,
    immutable,
    ip_address,
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

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """The kind is deprecated as a whole."""
        return [_DEPRECATED]

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """The kind is deprecated as a whole."""
        return [_DEPRECATED]


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


class EndpointSliceStrategy(Strategy):
    """Rules of EndpointSlices."""

    def default(self, obj: Object) -> None:
        """Ports have a name and are TCP unless told."""
        for port in obj.get("ports") or ():
            if port.get("name") is None:
                port["name"] = ""
            if port.get("protocol") is None:
                port["protocol"] = "TCP"

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """Labels and annotations count as a change: consumers read the Service from them."""
        if changed_metadata(obj, old, "labels", "annotations"):
            bump_generation(obj, old)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge addresses and ports."""
        return list(_slice(obj))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: the type of addresses is fixed."""
        return [*self.validate(context, obj), *immutable("addressType", obj.get("addressType"), old.get("addressType"))]


def _slice(obj: Item) -> Errors:
    kind = obj.get("addressType") or ""
    yield from required_one_of("addressType", kind, _ADDRESS_TYPES)
    yield from _slice_endpoints("endpoints", obj.get("endpoints") or (), kind)
    yield from _slice_ports("ports", obj.get("ports") or ())


def _slice_endpoints(path: str, endpoints: Sequence[Item], kind: str) -> Errors:
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
            yield from _slice_address(f"{item}.addresses[{address_index}]", address, kind)
        if endpoint.get("nodeName") is not None:
            yield from dns_subdomain(f"{item}.nodeName", endpoint["nodeName"])
        topology = endpoint.get("deprecatedTopology") or {}
        yield from label_values(f"{item}.deprecatedTopology", topology)
        if endpoint.get("hostname") is not None:
            yield from dns_label(f"{item}.hostname", endpoint["hostname"])


def _slice_address(path: str, address: str, kind: str) -> Errors:
    if kind == "FQDN":
        yield from dns_subdomain(path, address)
        return
    if kind not in ("IPv4", "IPv6"):
        return
    parsed = find_address(address)
    if parsed is None:
        yield from ip_address(path, address)
        return
    if f"IPv{parsed.version}" != kind:
        yield FieldError.invalid(path, address, f"must be an {kind} address")
    yield from non_special_ip(path, address)


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
