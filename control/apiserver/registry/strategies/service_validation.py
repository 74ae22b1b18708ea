"""Rules of Services, in upstream's order (upstream: ValidateService, ValidateServiceUpdate)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control.api.addresses import find_address
from control.api.errors import FieldError
from control.apiserver.registry.strategies.field_rules import (
    PROTOCOLS,
    Errors,
    cidr,
    dns_label,
    dns_subdomain,
    ip_address,
    label_values,
    non_special_ip,
    one_of,
    port_number,
    port_or_name,
    qualified_name,
    required_one_of,
)
from control.apiserver.registry.strategies.internal_form import internal_form

Spec = Mapping[str, Any]

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITY_SECONDS_MAX = 86400
_ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"
_CHANGED = "may not change once set"
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def is_headless(spec: Spec) -> bool:
    """Whether the Service asks for no cluster IP."""
    return list(spec.get("clusterIPs") or ()) == ["None"]


def service(obj: Spec, old: Spec | None = None) -> Errors:
    """A Service as a whole; addresses the `old` one had already may be of forms that are refused by now."""
    spec, old_spec = obj["spec"], (old or {}).get("spec") or {}
    kind, ports = spec.get("type"), spec.get("ports") or ()
    yield from _topology_annotations((obj.get("metadata") or {}).get("annotations") or {})
    if not ports and not is_headless(spec) and kind != "ExternalName":
        yield FieldError.required("spec.ports")
    yield from _type_fields(spec)
    names: set[str] = set()
    for index, port in enumerate(ports):
        yield from _port(f"spec.ports[{index}]", port, names, required=len(ports) > 1)
    yield from label_values("spec.selector", spec.get("selector"))
    yield from _affinity(spec)
    yield from cluster_ip_fields(spec, old_spec.get("clusterIPs") or ())
    known = old_spec.get("externalIPs") or ()
    for index, address in enumerate(spec.get("externalIPs") or ()):
        broken = list(ip_address(f"spec.externalIPs[{index}]", address, known))
        yield from broken or non_special_ip(f"spec.externalIPs[{index}]", address)
    yield from required_one_of("spec.type", kind, TYPES)
    yield from _unique_ports(kind, ports)
    yield from _source_ranges(obj, old or {})
    if spec.get("allocateLoadBalancerNodePorts") is not None and kind != "LoadBalancer":
        yield FieldError.forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_LOAD_BALANCER)
    if spec.get("allocateLoadBalancerNodePorts") is None and kind == "LoadBalancer":
        yield FieldError.required("allocateLoadBalancerNodePorts")
    yield from _load_balancer_class(spec)
    yield from _traffic(spec)


def _topology_annotations(annotations: Mapping[str, str]) -> Errors:
    mode, hints = (annotations.get(f"service.kubernetes.io/topology-{name}") for name in ("mode", "aware-hints"))
    if mode is not None and hints is not None and mode != hints:
        where = "metadata.annotations[service.kubernetes.io/topology-mode]"
        detail = "must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified"
        yield FieldError.invalid(where, mode, detail)


def _type_fields(spec: Spec) -> Errors:
    kind = spec.get("type")
    if kind in ("LoadBalancer", "NodePort") and is_headless(spec):
        yield FieldError.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind != "ExternalName":
        return
    for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(name):
            yield FieldError.forbidden(f"spec.{name}", "may not be set for ExternalName services")
    target = (spec.get("externalName") or "").removesuffix(".")
    if target:
        yield from dns_subdomain("spec.externalName", target)
    else:
        yield FieldError.required("spec.externalName")


def _port(path: str, port: Spec, names: set[str], *, required: bool) -> Errors:
    name = port.get("name")
    if required and not name:
        yield FieldError.required(f"{path}.name")
    elif name:
        yield from dns_label(f"{path}.name", name)
        if name in names:
            yield FieldError.duplicate(f"{path}.name", name)
        names.add(name)
    yield from port_number(f"{path}.port", port.get("port") or 0)
    yield from required_one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    yield from port_or_name(f"{path}.targetPort", port.get("targetPort", 0))
    if port.get("appProtocol") is not None:
        yield from qualified_name(f"{path}.appProtocol", port["appProtocol"])


def _affinity(spec: Spec) -> Errors:
    affinity, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    yield from required_one_of("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    path = "spec.sessionAffinityConfig"
    if affinity == "None" and config is not None:
        yield FieldError.forbidden(path, "must not be set when session affinity is None")
    if affinity != "ClientIP":
        return
    when = "when session affinity type is ClientIP"
    client = (config or {}).get("clientIP")
    if config is None:
        yield FieldError.required(path, when)
    elif client is None:
        yield FieldError.required(f"{path}.clientIP", when)
    elif client.get("timeoutSeconds") is None:
        yield FieldError.required(f"{path}.clientIP.timeoutSeconds", when)
    elif not 0 < client["timeoutSeconds"] <= _AFFINITY_SECONDS_MAX:
        detail = f"must be greater than 0 and less than {_AFFINITY_SECONDS_MAX}"
        yield FieldError.invalid(f"{path}.clientIP.timeoutSeconds", client["timeoutSeconds"], detail)


def cluster_ip_fields(spec: Spec, known: Sequence[str] = ()) -> Errors:
    """clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy agree; the allocator asks before it fills them."""
    if spec.get("type") == "ExternalName":
        return
    addresses, families = list(spec.get("clusterIPs") or ()), list(spec.get("ipFamilies") or ())
    path, first = "spec.clusterIPs", spec.get("clusterIP")
    if first:
        if not addresses:
            yield FieldError.required(path)
        elif addresses[0] != first:
            yield FieldError.invalid(path, addresses, "first value must match `clusterIP`")
    elif addresses:
        yield FieldError.invalid(path, addresses, "must be empty when `clusterIP` is not specified")
    for index, family in enumerate(families):
        yield from one_of(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6"))
        if family in families[:index]:
            yield FieldError.duplicate(f"spec.ipFamilies[{index}]", family)
    if spec.get("ipFamilyPolicy") is not None:
        supported = ("PreferDualStack", "RequireDualStack", "SingleStack")
        yield from one_of("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], supported)
    yield from _addresses(path, addresses, families, known, headless=is_headless(spec))


def _addresses(path: str, addresses: list[str], families: list[str], known: Sequence[str], *, headless: bool) -> Errors:
    broken: list[FieldError] = []
    for index, address in enumerate(addresses):
        if index == 0 and address == "None":
            if len(addresses) > 1:
                broken.append(FieldError.invalid(path, addresses, "'None' must be the first and only value"))
            continue
        broken.extend(ip_address(f"{path}[{index}]", address, known))
    yield from broken
    if len(addresses) > 2:
        yield FieldError.invalid(path, addresses, "may only hold up to 2 values")
    if broken or headless:
        return
    versions = [_family(address) for address in addresses]
    if len(addresses) > 1 and len(set(versions)) == 1:
        yield FieldError.invalid(path, addresses, "may specify no more than one IP for each IP family")
    for index, (version, family) in enumerate(zip(versions, families, strict=False)):
        if family in ("IPv4", "IPv6") and version != family:
            detail = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield FieldError.invalid(f"{path}[{index}]", addresses[index], detail)


def _family(address: str) -> str:
    parsed = find_address(address)
    return f"IPv{parsed.version}" if parsed is not None else ""


def _unique_ports(kind: str | None, ports: Sequence[Spec]) -> Errors:
    if kind == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                detail = "may not be used when `type` is 'ClusterIP'"
                yield FieldError.forbidden(f"spec.ports[{index}].nodePort", detail)
    seen: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        node_key = (port.get("protocol") or "", port.get("nodePort") or 0)
        if node_key[1] and node_key in seen:
            yield FieldError.duplicate(f"spec.ports[{index}].nodePort", port["nodePort"])
        seen.add(node_key)
    seen.clear()
    for index, port in enumerate(ports):
        key = (port.get("protocol") or "", port.get("port") or 0)
        if key in seen:
            shown = internal_form("ServicePort", {"protocol": key[0], "port": key[1]})
            yield FieldError.duplicate(f"spec.ports[{index}]", shown)
        seen.add(key)


def _source_ranges(obj: Spec, old: Spec) -> Errors:
    spec, annotations = obj["spec"], (obj.get("metadata") or {}).get("annotations") or {}
    ranges = spec.get("loadBalancerSourceRanges") or ()
    annotated = annotations.get(_SOURCE_RANGES)
    path = "spec.LoadBalancerSourceRanges" if ranges else f"metadata.annotations[{_SOURCE_RANGES}]"
    if (ranges or annotated is not None) and spec.get("type") != "LoadBalancer":
        yield FieldError.forbidden(path, _ONLY_LOAD_BALANCER)
    former = ((old.get("metadata") or {}).get("annotations") or {}).get(_SOURCE_RANGES)
    if ranges:
        known = [text.strip() for text in (old.get("spec") or {}).get("loadBalancerSourceRanges") or ()]
        for index, text in enumerate(ranges):
            yield from cidr(f"{path}[{index}]", text.strip(), known)
    elif annotated is not None and annotated.strip() and annotated != former:
        for text in annotated.strip().split(","):
            yield from cidr(path, text.strip())


def _load_balancer_class(spec: Spec) -> Errors:
    name = spec.get("loadBalancerClass")
    if name is None:
        return
    if spec.get("type") == "LoadBalancer":
        yield from qualified_name("spec.loadBalancerClass", name)
    else:
        yield FieldError.forbidden("spec.loadBalancerClass", _ONLY_LOAD_BALANCER)


def _traffic(spec: Spec) -> Errors:
    kind, policy = spec.get("type"), spec.get("externalTrafficPolicy") or ""
    accessible = kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    path = "spec.externalTrafficPolicy"
    if accessible:
        yield from required_one_of(path, policy, ("Cluster", "Local"))
    elif policy:
        yield FieldError.invalid(path, policy, "may only be set for externally-accessible services")
    health, path = spec.get("healthCheckNodePort") or 0, "spec.healthCheckNodePort"
    if kind == "LoadBalancer" and policy == "Local":
        if not health:
            yield FieldError.required(path)
        else:
            yield from port_number(path, health)
    elif health:
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield FieldError.invalid(path, health, detail)
    internal = spec.get("internalTrafficPolicy")
    if internal is None:
        if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
            yield FieldError.required("spec.internalTrafficPolicy")
    else:
        yield from one_of("spec.internalTrafficPolicy", internal, ("Cluster", "Local"))
    distribution = spec.get("trafficDistribution")
    if distribution is not None:
        supported = ("PreferClose", "PreferSameZone", "PreferSameNode")
        yield from one_of("spec.trafficDistribution", distribution, supported)


def service_changes(obj: Spec, old: Spec) -> Errors:
    """What may change of the addresses: a second family may come and go, the first stays."""
    spec, old_spec = obj["spec"], old["spec"]
    headless, was_headless = is_headless(spec), is_headless(old_spec)
    if "ExternalName" not in (spec.get("type"), old_spec.get("type")):
        if not (headless and was_headless):
            yield from _cluster_ip_changes(spec, old_spec)
        if not headless and not was_headless:
            yield from _family_changes(spec, old_spec)
    both = spec.get("type") == "LoadBalancer" and old_spec.get("type") == "LoadBalancer"
    if both and spec.get("loadBalancerClass") != old_spec.get("loadBalancerClass"):
        yield FieldError.invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), _CHANGED)
    # Upstream judges the class with the change, and once more with the Service.
    yield from _load_balancer_class(spec)
    local = all(item.get("externalTrafficPolicy") == "Local" for item in (spec, old_spec))
    if both and local and spec.get("healthCheckNodePort") != old_spec.get("healthCheckNodePort"):
        yield FieldError.forbidden("spec.healthCheckNodePort", "field is immutable")


def _cluster_ip_changes(spec: Spec, old: Spec) -> Errors:
    new, previous = list(spec.get("clusterIPs") or ()), list(old.get("clusterIPs") or ())
    path = "spec.clusterIPs"
    if len(new) == len(previous):
        for index, value in enumerate(previous):
            if value != new[index]:
                yield FieldError.invalid(f"{path}[{index}]", new, _CHANGED)
        return
    if not new:
        yield FieldError.invalid(f"{path}[0]", None, "primary clusterIP can not be unset")
    elif previous and new[0] != previous[0]:
        yield FieldError.invalid(f"{path}[0]", new, _CHANGED)
    if len(previous) > len(new):
        yield from _released("clusterIP", new, spec)


def _family_changes(spec: Spec, old: Spec) -> Errors:
    new, previous = list(spec.get("ipFamilies") or ()), list(old.get("ipFamilies") or ())
    # Upstream shows the addresses, not the families, where their number changed.
    path, addresses = "spec.ipFamilies[0]", list(spec.get("clusterIPs") or ()) or None
    if len(new) == len(previous):
        for index, value in enumerate(previous):
            if value != new[index]:
                yield FieldError.invalid(path, new, _CHANGED)
        return
    if len(previous) > len(new) and not addresses:
        yield FieldError.invalid(path, new or None, "primary ipFamily can not be unset")
    if new and previous and new[0] != previous[0]:
        yield FieldError.invalid(path, addresses, _CHANGED)
    if len(previous) > len(new):
        yield from _released("ipFamily", new, spec)


def _released(what: str, new: list[str], spec: Spec) -> Errors:
    policy = spec.get("ipFamilyPolicy")
    if len(new) == 1 and policy != "SingleStack":
        detail = f"must be set to 'SingleStack' when releasing the secondary {what}"
        yield FieldError.invalid("spec.ipFamilyPolicy", policy, detail)


def load_balancer_status(path: str, status: Spec, kind: str, known: Sequence[str] = ()) -> Errors:
    """Addresses and names at which a load balancer is reached; `known` were there before."""
    ingresses = status.get("ingress") or ()
    if kind != "LoadBalancer" and ingresses:
        yield FieldError.forbidden(f"{path}.ingress", "may only be used when `spec.type` is 'LoadBalancer'")
        return
    for index, ingress in enumerate(ingresses):
        item, ip, mode = f"{path}.ingress[{index}]", ingress.get("ip") or "", ingress.get("ipMode")
        if ip:
            yield from ip_address(f"{item}.ip", ip, known)
        if mode is None:
            if ip:
                yield FieldError.required(f"{item}.ipMode", "must be specified when `ip` is set")
        elif not ip:
            yield FieldError.forbidden(f"{item}.ipMode", "may not be specified when `ip` is not set")
        else:
            yield from one_of(f"{item}.ipMode", mode, ("Proxy", "VIP"))
        yield from ingress_hostname(f"{item}.hostname", ingress.get("hostname") or "")


def ingress_hostname(path: str, name: str) -> Errors:
    """A DNS name that is no address."""
    if not name:
        return
    yield from dns_subdomain(path, name)
    if find_address(name) is not None:
        yield FieldError.invalid(path, name, "must be a DNS name, not an IP address")
