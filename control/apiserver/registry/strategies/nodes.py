"""The strategy of Nodes (upstream: pkg/registry/core/node/strategy.go, ValidateNode)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.addresses import find_network, network_warnings
from control.api.errors import FieldError
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import NOT_POSITIVE, Errors, cidr
from control.apiserver.registry.strategies.resource_lists import default_resource_list, resource_value
from control.apiserver.registry.strategies.scheduling_validation import taints
from control.apiserver.registry.strategy import FieldLabels, Strategy, WriteContext

_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)


class NodeStrategy(Strategy):
    """Rules of Nodes. A node may bring its status when it registers."""

    has_generation = False
    has_status = True
    field_labels = FieldLabels.of("spec.unschedulable", has_namespace=False)

    def default(self, obj: Object) -> None:
        """Allocatable is capacity unless told; the address range and its list mirror each other."""
        spec, status = obj.setdefault("spec", {}), obj.setdefault("status", {})
        for name in ("capacity", "allocatable"):
            default_resource_list(status.get(name))
        if status.get("capacity") and not status.get("allocatable"):
            status["allocatable"] = dict(status["capacity"])
        endpoints = status.setdefault("daemonEndpoints", {})
        endpoints.setdefault("kubeletEndpoint", {}).setdefault("Port", 0)
        info = status.setdefault("nodeInfo", {})
        for name in _INFO:
            if info.get(name) is None:
                info[name] = ""
        if spec.get("podCIDR") and (spec.get("podCIDRs") or [""])[0] != spec["podCIDR"]:
            spec["podCIDRs"] = [spec["podCIDR"]]
        elif spec.get("podCIDRs"):
            spec["podCIDR"] = spec["podCIDRs"][0]

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """The status of a registering node stays; a configuration of the kubelet is a feature of the past."""
        obj["spec"].pop("configSource", None)

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """The status stays."""
        super().prepare_for_update(context, obj, old)
        if "configSource" not in old["spec"]:
            obj["spec"].pop("configSource", None)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new node."""
        spec = obj.get("spec") or {}
        errors = list(taints("metadata.taints", spec.get("taints") or ()))
        errors.extend(_resources(obj))
        errors.extend(_swap(obj))
        return errors + list(_ranges("spec.podCIDRs", spec.get("podCIDRs") or []))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: address range and provider are set once."""
        return list(_changes(obj, old))

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed status."""
        return list(_changes(obj, old))

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Fields of features of the past; ranges that are better written otherwise."""
        spec = obj.get("spec") or {}
        warnings = []
        if spec.get("configSource") is not None:
            warnings.append("spec.configSource: the feature is removed")
        if spec.get("externalID"):
            warnings.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
        for index, value in enumerate(spec.get("podCIDRs") or ()):
            warnings.extend(f"spec.podCIDRs[{index}]: {text}" for text in network_warnings(value))
        return warnings

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """The same."""
        return self.warnings_on_create(context, obj)

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """Fields a field selector can name."""
        return {"spec.unschedulable": "true" if (obj.get("spec") or {}).get("unschedulable") else "false"}


def _resources(obj: Object) -> Errors:
    status = obj.get("status") or {}
    for name in ("capacity", "allocatable"):
        for resource, text in sorted((status.get(name) or {}).items()):
            yield from resource_value(f"status.{name}.{resource}", resource, text)


def _swap(obj: Object) -> Errors:
    capacity = (((obj.get("status") or {}).get("nodeInfo") or {}).get("swap") or {}).get("capacity")
    if capacity is not None and capacity <= 0:
        yield FieldError.invalid("metadata.nodeSwapStatus.capacity", capacity, NOT_POSITIVE)


def _ranges(path: str, ranges: list[str]) -> Errors:
    for index, text in enumerate(ranges):
        yield from cidr(f"{path}[{index}]", text)
    if len(ranges) < 2:
        return
    families = {network.version for network in map(find_network, ranges) if network is not None}
    if len(ranges) > 2 or len(families) != 2:
        yield FieldError.invalid(path, ranges, "may specify no more than one CIDR for each IP family")
    for index, text in enumerate(ranges):
        if text in ranges[:index]:
            yield FieldError.duplicate(f"{path}[{index}]", text)


def _changes(obj: Object, old: Object) -> Errors:
    spec, old_spec, status = obj.get("spec") or {}, old.get("spec") or {}, obj.get("status") or {}
    yield from _resources(obj)
    seen: list[Any] = []
    for index, address in enumerate(status.get("addresses") or ()):
        if address in seen:
            shown = {"Type": address.get("type") or "", "Address": address.get("address") or ""}
            yield FieldError.duplicate(f"status.addresses[{index}]", shown)
        seen.append(address)
    yield from _range_changes(spec.get("podCIDRs") or [], old_spec.get("podCIDRs") or [])
    provider = old_spec.get("providerID")
    if provider and provider != spec.get("providerID"):
        detail = 'node updates may not change providerID except from "" to valid'
        yield FieldError.forbidden("spec.providerID", detail)
    yield from taints("metadata.taints", spec.get("taints") or ())
    if (spec.get("externalID") or "") != (old_spec.get("externalID") or ""):
        yield FieldError.forbidden("spec.externalID", "may not be updated")


def _range_changes(new: list[str], old: list[str]) -> Errors:
    detail = 'node updates may not change podCIDR except from "" to valid'
    if not old:
        return
    if len(new) != len(old):
        yield FieldError.forbidden("spec.podCIDRs", detail)
        return
    for value, previous in zip(new, old, strict=True):
        if value != previous:
            yield FieldError.forbidden("spec.podCIDRs", detail)
