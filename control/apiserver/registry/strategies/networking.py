"""Strategies of networking.k8s.io but for Ingresses (upstream: pkg/apis/networking/validation/validation.go)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from control.api.addresses import canonical_cidr_errors, canonical_ip_errors, find_network, network_warnings
from control.api.errors import FieldError
from control.api.names import path_segment_name_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import (
    IMMUTABLE,
    Errors,
    cidr,
    dns_subdomain,
    immutable,
    in_range,
    judged,
    label_selector,
    one_of,
    port_or_name,
)
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategy import Strategy, WriteContext

Item = Mapping[str, Any]


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
        return list(_network_policy("spec", obj["spec"], ()))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change; ranges that were there before may be of forms that are refused by now."""
        return list(_network_policy("spec", obj["spec"], {text for _, text in _cidrs(old)}))

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Ranges that are better written otherwise."""
        return [f"{path}: {text}" for path, value in _cidrs(obj) for text in network_warnings(value)]

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """The same."""
        return self.warnings_on_create(context, obj)


def _cidrs(obj: Object) -> Iterator[tuple[str, str]]:
    """Every range of a policy with its path."""
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(obj["spec"].get(direction) or ()):
            for peer_index, peer in enumerate(rule.get(peers) or ()):
                path, block = f"spec.{direction}[{index}].{peers}[{peer_index}].ipBlock", peer.get("ipBlock") or {}
                if block:
                    yield f"{path}.cidr", block.get("cidr") or ""
                for number, text in enumerate(block.get("except") or ()):
                    yield f"{path}.except[{number}]", text


def _network_policy(path: str, spec: Item, known: Collection[str]) -> Errors:
    yield from label_selector(f"{path}.podSelector", spec.get("podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            item = f"{path}.{direction}[{index}]"
            for port_index, port in enumerate(rule.get("ports") or ()):
                yield from _policy_port(f"{item}.ports[{port_index}]", port)
            for peer_index, peer in enumerate(rule.get(peers) or ()):
                yield from _policy_peer(f"{item}.{peers}[{peer_index}]", peer, known)
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


def _policy_peer(path: str, peer: Item, known: Collection[str]) -> Errors:
    given = 0
    for name in ("podSelector", "namespaceSelector"):
        if peer.get(name) is not None:
            given += 1
            yield from label_selector(f"{path}.{name}", peer[name])
    block = peer.get("ipBlock")
    if block is not None:
        yield from _ip_block(f"{path}.ipBlock", block, known)
        if given:
            yield FieldError.forbidden(path, "may not specify both ipBlock and another peer")
    elif not given:
        yield FieldError.required(path, "must specify a peer")


def _ip_block(path: str, block: Item, known: Collection[str]) -> Errors:
    text = block.get("cidr") or ""
    if not text:
        yield FieldError.required(f"{path}.cidr")
        return
    yield from cidr(f"{path}.cidr", text, known)
    network = find_network(text)
    if network is None:
        return
    for index, item in enumerate(block.get("except") or ()):
        where = f"{path}.except[{index}]"
        yield from cidr(where, item, known)
        excepted = find_network(item)
        if excepted is not None and not _is_strict_subset(excepted, network):
            yield FieldError.invalid(where, item, "must be a strict subset of `cidr`")


def _is_strict_subset(inner: Any, outer: Any) -> bool:
    return bool(inner.version == outer.version and inner.prefixlen > outer.prefixlen and inner.subnet_of(outer))


class IpAddressStrategy(Strategy):
    """Rules of IPAddresses, whose name is the address."""

    has_generation = False

    def name_errors(self, name: str) -> list[str]:
        """A canonical address."""
        return canonical_ip_errors(name)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge the reference to the owner."""
        return list(_parent("spec.parentRef", obj["spec"].get("parentRef")))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """The owner is fixed."""
        return list(immutable("spec.parentRef", obj["spec"].get("parentRef"), old["spec"].get("parentRef")))


def _parent(path: str, reference: Item | None) -> Errors:
    if reference is None:
        yield FieldError.required(path)
        return
    if reference.get("group"):
        yield from dns_subdomain(f"{path}.group", reference["group"])
    for name in ("resource", "name", "namespace"):
        if reference.get(name):
            yield from judged(f"{path}.{name}", reference[name], path_segment_name_errors)
        elif name != "namespace":
            yield FieldError.required(f"{path}.{name}")


class ServiceCidrStrategy(StatusStrategy):
    """Rules of ServiceCIDRs."""

    has_generation = False

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge the ranges."""
        return list(_ranges("spec.cidrs", obj["spec"].get("cidrs")))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: a range never changes, a second family may be added."""
        ranges, old_ranges = (item["spec"].get("cidrs") or [] for item in (obj, old))
        errors = [
            FieldError.invalid(f"spec.cidrs[{index}]", text, IMMUTABLE)
            for index, (text, old_text) in enumerate(zip(ranges, old_ranges, strict=False))
            if text != old_text
        ]
        if len(ranges) == len(old_ranges):
            return errors
        if (len(old_ranges), len(ranges)) == (1, 2):
            return errors + list(_ranges("spec.cidrs", ranges))
        return [FieldError.invalid("spec.cidrs", ranges or None, IMMUTABLE)]


def _ranges(path: str, ranges: Sequence[str] | None) -> Errors:
    if not ranges:
        yield FieldError.required(path, "at least one CIDR required")
        return
    shown = {"CIDRs": list(ranges)}
    if len(ranges) > 2:
        yield FieldError.invalid(path, shown, "may only hold up to 2 values")
        return
    broken = [
        error for index, text in enumerate(ranges) for error in judged(f"{path}[{index}]", text, canonical_cidr_errors)
    ]
    yield from broken
    versions = [network.version for network in map(find_network, ranges) if network is not None]
    if not broken and len(ranges) == 2 and versions[0] == versions[1]:
        detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        yield FieldError.invalid(path, shown, detail)
