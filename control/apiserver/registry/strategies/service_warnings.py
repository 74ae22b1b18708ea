"""Warnings about Services: what is deprecated, ignored or oddly written (upstream: pkg/api/service/warnings.go)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control.api.addresses import address_warnings, network_warnings

_OLD_HINTS = "service.kubernetes.io/topology-aware-hints"
_HINTS = "service.kubernetes.io/topology-mode"


def service_warnings(obj: Mapping[str, Any]) -> Iterator[str]:
    """Warnings about a Service."""
    spec = obj.get("spec") or {}
    kind, external_ips = spec.get("type"), spec.get("externalIPs") or ()
    is_headless = kind == "ClusterIP" and spec.get("clusterIP") == "None"
    if _OLD_HINTS in ((obj.get("metadata") or {}).get("annotations") or {}):
        yield f"annotation {_OLD_HINTS} is deprecated, please use {_HINTS} instead"
    if spec.get("clusterIP") not in (None, "", "None") and kind != "ExternalName":
        yield from _addresses("spec.clusterIPs", spec.get("clusterIPs") or ())
    if is_headless:
        yield from _ignored_by_headless(spec)
    yield from _addresses("spec.externalIPs", external_ips)
    if external_ips and not is_headless and kind != "ExternalName":
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    for text in address_warnings(spec.get("loadBalancerIP") or ""):
        yield f"spec.loadBalancerIP: {text}"
    for index, value in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        for text in network_warnings(value):
            yield f"spec.loadBalancerSourceRanges[{index}]: {text}"
    if kind == "ExternalName" and external_ips:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if kind != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _ignored_by_headless(spec: Mapping[str, Any]) -> Iterator[str]:
    for name in ("loadBalancerIP", "externalIPs"):
        if spec.get(name):
            yield f"spec.{name} is ignored for headless services"
    if spec.get("sessionAffinity") != "None":
        yield "spec.SessionAffinity is ignored for headless services"


def _addresses(path: str, addresses: Any) -> Iterator[str]:
    for index, address in enumerate(addresses):
        for text in address_warnings(address):
            yield f"{path}[{index}]: {text}"
