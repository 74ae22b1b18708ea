"""Table columns of networking kinds: Services, endpoints, Ingresses, network policies, addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from control.api.objects import ReadOnlyObject
from control.schema.columns.column import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    TableLayout,
    age_of,
    described,
    labels_text,
    listed,
    name_of,
    of_field,
    selector_text,
    spec_of,
    status_of,
)

_SHOWN = 3


def _service_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    addresses = spec.get("clusterIPs") or ()
    ports = ",".join(_port_text(port) for port in spec.get("ports") or ())
    return [
        name_of(obj),
        spec.get("type", ""),
        addresses[0] if addresses else NONE,
        _external_address(obj),
        ports or NONE,
        age_of(obj, now),
        labels_text(spec.get("selector")),
    ]


def _port_text(port: Mapping[str, Any]) -> str:
    number = f"{port.get('port')}:{port['nodePort']}" if port.get("nodePort") else str(port.get("port"))
    return f"{number}/{port.get('protocol', '')}"


def _external_address(obj: ReadOnlyObject) -> str:
    spec = spec_of(obj)
    external = list(spec.get("externalIPs") or ())
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(external) or NONE
        case "LoadBalancer":
            balancer = _ingress_points(status_of(obj))
            return ",".join([*balancer, *external]) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return UNKNOWN


def _ingress_points(status: Mapping[str, Any]) -> list[str]:
    points = (status.get("loadBalancer") or {}).get("ingress") or ()
    return sorted({point.get("ip") or point.get("hostname") or "" for point in points} - {""})


def _endpoints_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    addresses: list[str] = []
    for subset in obj.get("subsets") or ():
        hosts = [address.get("ip", "") for address in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        addresses += [_join_host(host, port["port"]) for port in ports for host in hosts] if ports else hosts
    text = listed(addresses, len(addresses), shown=_SHOWN) if obj.get("subsets") else NONE
    return [name_of(obj), text, age_of(obj, now)]


def _join_host(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _endpoint_slice_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    ports = [str(port.get("port") or port.get("name") or "*") for port in obj.get("ports") or ()]
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return [
        name_of(obj),
        obj.get("addressType", ""),
        listed(ports, len(ports), shown=_SHOWN) or UNSET,
        listed(addresses, len(addresses), shown=_SHOWN) or UNSET,
        age_of(obj, now),
    ]


def _ingress_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    return [
        name_of(obj),
        spec.get("ingressClassName") or NONE,
        _hosts_text(spec.get("rules") or ()),
        ",".join(_ingress_points(status_of(obj))),
        "80, 443" if spec.get("tls") else "80",
        age_of(obj, now),
    ]


def _hosts_text(rules: Sequence[Mapping[str, Any]]) -> str:
    hosts: list[str] = []
    for rule in rules:
        if len(hosts) == _SHOWN:
            return f"{','.join(hosts)} + {len(rules) - _SHOWN} more..."
        if rule.get("host"):
            hosts.append(rule["host"])
    return ",".join(hosts) or "*"


def _ingress_class_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    parameters = spec.get("parameters")
    text = NONE
    if parameters:
        kind, group = parameters.get("kind", ""), parameters.get("apiGroup")
        text = (f"{kind}.{group}" if group is not None else kind) + f"/{parameters.get('name', '')}"
    return [name_of(obj), spec.get("controller", ""), text, age_of(obj, now)]


def _network_policy_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), selector_text(spec_of(obj).get("podSelector")), age_of(obj, now)]


def _ip_address_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    parent = spec_of(obj).get("parentRef") or {}
    group = parent.get("group")
    resource = f"{parent.get('resource', '')}.{group}" if group else parent.get("resource", "")
    path = [part for part in (resource, parent.get("namespace"), parent.get("name")) if part]
    # Upstream adds the age, but no column for it.
    return [name_of(obj), "/".join(path), age_of(obj, now)]


def _service_cidr_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), ",".join(spec_of(obj).get("cidrs") or ()), age_of(obj, now)]


LAYOUTS = {
    ("", "Service"): TableLayout(
        columns=(
            NAME,
            of_field("Type", "core.v1.ServiceSpec.type"),
            of_field("Cluster-IP", "core.v1.ServiceSpec.clusterIP"),
            of_field("External-IP", "core.v1.ServiceSpec.externalIPs"),
            of_field("Port(s)", "core.v1.ServiceSpec.ports"),
            AGE,
            of_field("Selector", "core.v1.ServiceSpec.selector", priority=1),
        ),
        cells=_service_cells,
    ),
    ("", "Endpoints"): TableLayout(
        columns=(NAME, of_field("Endpoints", "core.v1.Endpoints.subsets"), AGE), cells=_endpoints_cells
    ),
    ("discovery.k8s.io", "EndpointSlice"): TableLayout(
        columns=(
            NAME,
            of_field("AddressType", "discovery.v1.EndpointSlice.addressType"),
            of_field("Ports", "discovery.v1.EndpointSlice.ports"),
            of_field("Endpoints", "discovery.v1.EndpointSlice.endpoints"),
            AGE,
        ),
        cells=_endpoint_slice_cells,
    ),
    ("networking.k8s.io", "Ingress"): TableLayout(
        columns=(
            NAME,
            described(
                "Class", "The name of the IngressClass resource that should be used for additional configuration"
            ),
            described("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
            described("Address", "Address is a list containing ingress points for the load-balancer"),
            described("Ports", "Ports of TLS configurations that open"),
            AGE,
        ),
        cells=_ingress_cells,
    ),
    ("networking.k8s.io", "IngressClass"): TableLayout(
        columns=(
            NAME,
            described("Controller", "Controller that is responsible for handling this class"),
            described("Parameters", "A reference to a resource with additional parameters"),
            AGE,
        ),
        cells=_ingress_class_cells,
    ),
    ("networking.k8s.io", "NetworkPolicy"): TableLayout(
        columns=(NAME, of_field("Pod-Selector", "networking.v1.NetworkPolicySpec.podSelector"), AGE),
        cells=_network_policy_cells,
    ),
    ("networking.k8s.io", "IPAddress"): TableLayout(
        columns=(NAME, of_field("ParentRef", "networking.v1.IPAddressSpec.parentRef")), cells=_ip_address_cells
    ),
    ("networking.k8s.io", "ServiceCIDR"): TableLayout(
        columns=(NAME, of_field("CIDRs", "networking.v1.ServiceCIDRSpec.cidrs"), AGE), cells=_service_cidr_cells
    ),
}
