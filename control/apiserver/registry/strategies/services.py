"""The strategy of Services (upstream: ValidateService, pkg/registry/core/service/strategy.go).

Cluster IPs, IP families and node ports are the allocators' (`registry/allocators/`), which the write path runs before
this strategy prepares and judges the object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from control.api.addresses import address_warnings
from control.api.errors import FieldError
from control.api.names import dns1123_label_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.service_validation import (
    load_balancer_status,
    service,
    service_changes,
)
from control.apiserver.registry.strategies.service_warnings import service_warnings
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategy import FieldLabels, WriteContext

_AFFINITY_SECONDS = 10800
_WITH_CLUSTER_IP = ("ClusterIP", "NodePort", "LoadBalancer")


class ServiceStrategy(StatusStrategy):
    """Rules of Services."""

    has_generation = False
    allow_create_on_update = True
    returns_deleted_object = True
    empty_status: ClassVar[dict[str, Any]] = {"loadBalancer": {}}
    field_labels = FieldLabels.of("spec.clusterIP", "spec.type")

    def name_errors(self, name: str) -> list[str]:
        """A DNS label; since 1.36 it may start with a digit."""
        return dns1123_label_errors(name)

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        if not spec.get("sessionAffinity"):
            spec["sessionAffinity"] = "None"
        _default_affinity(spec)
        if not spec.get("type"):
            spec["type"] = "ClusterIP"
        for port in spec.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"
            if port.get("targetPort") in (None, 0, ""):
                port["targetPort"] = port.get("port", 0)
        if is_externally_accessible(spec) and not spec.get("externalTrafficPolicy"):
            spec["externalTrafficPolicy"] = "Cluster"
        if spec.get("internalTrafficPolicy") is None and spec["type"] in _WITH_CLUSTER_IP:
            spec["internalTrafficPolicy"] = "Cluster"
        if spec["type"] == "LoadBalancer":
            if spec.get("allocateLoadBalancerNodePorts") is None:
                spec["allocateLoadBalancerNodePorts"] = True
            for ingress in obj["status"]["loadBalancer"].get("ingress") or ():
                if ingress.get("ip") and ingress.get("ipMode") is None:
                    ingress["ipMode"] = "VIP"

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new Service."""
        return list(service(obj))

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """Keep the status; drop what only the former type could have."""
        super().prepare_for_update(context, obj, old)
        _drop_fields_of_former_type(obj["spec"], old["spec"])

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed Service."""
        return [*service_changes(obj, old), *service(obj, old)]

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge what a load balancer says of itself."""
        status, old_status = ((item.get("status") or {}).get("loadBalancer") or {} for item in (obj, old))
        known = [ingress["ip"] for ingress in old_status.get("ingress") or () if ingress.get("ip")]
        return list(load_balancer_status("status.loadBalancer", status, obj["spec"].get("type") or "", known))

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Deprecated fields and fields that are ignored."""
        return list(service_warnings(obj))

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """The same."""
        return list(service_warnings(obj))

    def warnings_on_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """Addresses that are better written otherwise."""
        balancer = (obj.get("status") or {}).get("loadBalancer") or {}
        return [
            f"status.loadBalancer.ingress[{index}].ip: {text}"
            for index, ingress in enumerate(balancer.get("ingress") or ())
            for text in address_warnings(ingress.get("ip") or "")
        ]

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """Fields a field selector can name."""
        spec = obj.get("spec") or {}
        return {"spec.clusterIP": spec.get("clusterIP") or "", "spec.type": spec.get("type") or ""}


def _default_affinity(spec: Object) -> None:
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _AFFINITY_SECONDS}}


def is_externally_accessible(spec: Mapping[str, Any]) -> bool:
    """Whether traffic from outside the cluster can reach the Service."""
    kind = spec.get("type")
    return kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def _node_ports(spec: Mapping[str, Any]) -> list[int]:
    return [port.get("nodePort") or 0 for port in spec.get("ports") or ()]


def _drop_fields_of_former_type(spec: Object, old: Object) -> None:
    """A client that changes the type need not clear what belonged to the former one."""
    kind, former = spec.get("type"), old.get("type")
    if kind == former:
        return
    if former == "ExternalName" and spec.get("externalName") == old.get("externalName"):
        spec.pop("externalName", None)
    if former in _WITH_CLUSTER_IP and kind not in _WITH_CLUSTER_IP:
        for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(name) == old.get(name):
                spec.pop(name, None)
    had_node_ports = former in ("NodePort", "LoadBalancer") and kind not in ("NodePort", "LoadBalancer")
    if had_node_ports and _node_ports(spec) == _node_ports(old):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
    if former == "LoadBalancer":
        for name in ("healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(name) == old.get(name):
                spec.pop(name, None)
    if not is_externally_accessible(spec) and spec.get("externalTrafficPolicy") == old.get("externalTrafficPolicy"):
        spec.pop("externalTrafficPolicy", None)
