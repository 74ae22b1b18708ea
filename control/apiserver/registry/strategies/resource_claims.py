"""Strategies of ResourceClaims and their templates (upstream: pkg/apis/resource)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from ipaddress import ip_interface
from typing import Any

from control.api.errors import FieldError, Printed, quote
from control.api.objects import Object
from control.apiserver.registry.strategies.condition_rules import conditions
from control.apiserver.registry.strategies.device_rules import (
    LIST_MAX,
    binding_conditions,
    bounded,
    configuration,
    distinct,
    driver_name,
    full_attribute_name,
    name_of,
    pool_name,
    raw_object,
    selectors,
    tolerations,
)
from control.apiserver.registry.strategies.field_rules import (
    IMMUTABLE,
    NOT_POSITIVE,
    Errors,
    annotation_keys,
    dns_label,
    dns_subdomain,
    label_values,
    one_of,
    required_one_of,
)
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.scheduling_validation import node_selector
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategy import OWN_METADATA, Strategy, WriteContext

Item = Mapping[str, Any]

_ALTERNATIVES_MAX = 8
_CONSUMERS_MAX = 256
_CONDITIONS_MAX = 8
_ADDRESSES_MAX = 16
_ONE_FORM = "exactly one of `exactly` or `firstAvailable` is required"
# Upstream says so where neither is set.
_ONE_ATTRIBUTE = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
_REFERENCE = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"


def _default_requests(claim_spec: Object) -> None:
    for request in (claim_spec.get("devices") or {}).get("requests") or ():
        for item in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if item is None:
                continue
            if not item.get("allocationMode"):
                item["allocationMode"] = "ExactCount"
            if item["allocationMode"] == "ExactCount" and not item.get("count"):
                item["count"] = 1
            for toleration in item.get("tolerations") or ():
                if not toleration.get("operator"):
                    toleration["operator"] = "Equal"


class ResourceClaimStrategy(StatusStrategy):
    """Rules of ResourceClaims."""

    has_generation = False
    returns_deleted_object = True
    kept_by_status = OWN_METADATA

    def default(self, obj: Object) -> None:
        """A request is for one device unless told."""
        super().default(obj)
        _default_requests(obj.setdefault("spec", {}))

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge the requests."""
        return list(_claim("spec.devices", obj["spec"].get("devices") or {}))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """The spec is fixed."""
        shown, before = (internal_form("ResourceClaimSpec", item["spec"]) for item in (obj, old))
        return [] if shown == before else [FieldError.invalid("spec", shown, IMMUTABLE)]

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge what scheduler and drivers say."""
        return list(_status(obj, old))


class ResourceClaimTemplateStrategy(Strategy):
    """Rules of ResourceClaimTemplates."""

    has_generation = False
    returns_deleted_object = True

    def default(self, obj: Object) -> None:
        """A request is for one device unless told."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("metadata", {})
        _default_requests(spec.setdefault("spec", {}))

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge the requests."""
        metadata, path = obj["spec"].get("metadata") or {}, "spec.metadata"
        errors = list(annotation_keys(f"{path}.annotations", metadata.get("annotations")))
        errors.extend(label_values(f"{path}.labels", metadata.get("labels")))
        return errors + list(_claim("spec.spec.devices", obj["spec"]["spec"].get("devices") or {}))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """The spec is fixed."""
        shown, before = (_template_form(item["spec"]) for item in (obj, old))
        return [] if shown == before else [FieldError.invalid("spec", shown, IMMUTABLE)]


def _template_form(spec: Item) -> dict[str, Any]:
    """Go prints the fields of the embedded metadata with their JSON names."""
    return {**(spec.get("metadata") or {}), "Spec": internal_form("ResourceClaimSpec", spec["spec"])}


def _request_names(devices: Item) -> set[str]:
    names: set[str] = set()
    for request in devices.get("requests") or ():
        names.add(name_of(request))
        names.update(f"{name_of(request)}/{name_of(choice)}" for choice in request.get("firstAvailable") or ())
    return names


def _claim(path: str, devices: Item) -> Errors:
    names = _request_names(devices)
    yield from distinct(f"{path}.requests", devices.get("requests"), LIST_MAX, _request, name_of)
    yield from bounded(f"{path}.constraints", devices.get("constraints"), LIST_MAX, partial(_constraint, names))
    yield from bounded(f"{path}.config", devices.get("config"), LIST_MAX, partial(_config, names))


def _request(path: str, request: Item) -> Errors:
    yield from dns_label(f"{path}.name", name_of(request))
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or ()
    if exactly is not None and alternatives:
        yield FieldError.invalid(path, None, f"{_ONE_FORM}, but multiple fields are set")
    elif exactly is not None:
        yield from _wanted(f"{path}.exactly", exactly)
    elif alternatives:
        yield from distinct(f"{path}.firstAvailable", alternatives, _ALTERNATIVES_MAX, _alternative, name_of)
    else:
        yield FieldError.required(path, _ONE_FORM)


def _alternative(path: str, item: Item) -> Errors:
    yield from dns_label(f"{path}.name", name_of(item))
    yield from _wanted(path, item)


def _wanted(path: str, item: Item) -> Errors:
    device_class, mode, count = item.get("deviceClassName") or "", item.get("allocationMode"), item.get("count") or 0
    if device_class:
        yield from dns_subdomain(f"{path}.deviceClassName", device_class)
    else:
        yield FieldError.required(f"{path}.deviceClassName")
    yield from selectors(f"{path}.selectors", item.get("selectors"))
    if mode == "All" and count != 0:
        yield FieldError.invalid(f"{path}.count", count, "must not be specified when allocationMode is 'All'")
    if mode == "ExactCount" and count <= 0:
        yield FieldError.invalid(f"{path}.count", count, NOT_POSITIVE)
    yield from one_of(f"{path}.allocationMode", mode, ("All", "ExactCount"))
    yield from tolerations(f"{path}.tolerations", item.get("tolerations"))


def _references(path: str, references: Sequence[str] | None, names: set[str]) -> Errors:
    return distinct(path, references, LIST_MAX, lambda where, name: _reference(where, name, names), str)


def _reference(path: str, name: str, names: set[str]) -> Errors:
    parts = name.split("/")
    if len(parts) <= 2:
        for part in parts:
            yield from dns_label(path, part)
    if name not in names:
        yield FieldError.invalid(path, name, _REFERENCE)


def _constraint(names: set[str], path: str, item: Item) -> Errors:
    yield from _references(f"{path}.requests", item.get("requests"), names)
    for field in ("matchAttribute", "distinctAttribute"):
        if item.get(field) is not None:
            yield from full_attribute_name(f"{path}.{field}", item[field])
            return
    yield FieldError.required(path, _ONE_ATTRIBUTE)


def _config(names: set[str], path: str, item: Item) -> Errors:
    yield from _references(f"{path}.requests", item.get("requests"), names)
    yield from configuration(path, item)


def _status(obj: Object, old: Object) -> Errors:
    status, before = obj.get("status") or {}, old.get("status") or {}
    allocation, consumers = status.get("allocation"), status.get("reservedFor") or ()
    yield from distinct(
        "status.reservedFor", consumers, _CONSUMERS_MAX, _consumer, lambda consumer: consumer.get("uid") or ""
    )
    allocated = {_device_id(result) for result in ((allocation or {}).get("devices") or {}).get("results") or ()}
    rule = partial(_device_status, allocated)
    yield from distinct("status.devices", status.get("devices"), None, rule, lambda item: Printed(_device_id(item)))
    if consumers and allocation is None:
        detail = "may not be specified when `allocated` is not set"
        yield FieldError.forbidden("status.reservedFor", detail)
    elif obj["metadata"].get("deletionTimestamp") and _has_new(consumers, before.get("reservedFor") or ()):
        detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        yield FieldError.forbidden("status.reservedFor", detail)
    if allocation is None:
        return
    if before.get("allocation") is None:
        yield from _allocation("status.allocation", allocation, _request_names(obj["spec"].get("devices") or {}))
        return
    shown, old_shown = (internal_form("AllocationResult", item) for item in (allocation, before["allocation"]))
    if shown != old_shown:
        yield FieldError.invalid("status.allocation", shown, IMMUTABLE)


def _has_new(items: Iterable[Item], old: Sequence[Item]) -> bool:
    return any(item not in old for item in items)


def _consumer(path: str, item: Item) -> Errors:
    for name in ("resource", "name", "uid"):
        if not item.get(name):
            yield FieldError.required(f"{path}.{name}")


def _device_id(item: Item) -> str:
    parts = [item.get(name) or "" for name in ("driver", "pool", "device")]
    return "/".join([*parts, item["shareID"]] if item.get("shareID") else parts)


def _device_names(path: str, item: Item) -> Errors:
    yield from driver_name(f"{path}.driver", item.get("driver") or "")
    yield from pool_name(f"{path}.pool", item.get("pool") or "")
    yield from dns_label(f"{path}.device", item.get("device") or "")


def _device_status(allocated: set[str], path: str, item: Item) -> Errors:
    yield from _device_names(path, item)
    if _device_id(item) not in allocated:
        detail = "must be an allocated device in the claim"
        yield FieldError.invalid(path, Printed(_device_id(item)), detail)
    if len(item.get("conditions") or ()) > _CONDITIONS_MAX:
        yield FieldError.too_many(f"{path}.conditions", len(item["conditions"]), _CONDITIONS_MAX)
    yield from conditions(f"{path}.conditions", item.get("conditions"))
    if item.get("data") is not None:
        yield from raw_object(f"{path}.data", item["data"])
    yield from _network(f"{path}.networkData", item.get("networkData") or {})


def _network(path: str, data: Item) -> Errors:
    for name, maximum in (("interfaceName", 256), ("hardwareAddress", 128)):
        if len((data.get(name) or "").encode()) > maximum:
            yield FieldError.too_long(f"{path}.{name}", maximum)
    yield from distinct(f"{path}.ips", data.get("ips"), _ADDRESSES_MAX, _interface_address, str)


def _interface_address(path: str, value: str) -> Errors:
    try:
        interface = ip_interface(value) if value.rpartition("/")[2].isdigit() and "/" in value else None
    except ValueError:
        interface = None
    if interface is None:
        detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        yield FieldError.invalid(path, value, detail)
    elif str(interface) != value:
        yield FieldError.invalid(path, value, f"must be in canonical form ({quote(str(interface))})")


def _allocation(path: str, allocation: Item, names: set[str]) -> Errors:
    devices = allocation.get("devices") or {}
    yield from bounded(f"{path}.devices.results", devices.get("results"), LIST_MAX, partial(_result, names))
    rule = partial(_allocated_config, names)
    yield from bounded(f"{path}.devices.config", devices.get("config"), 2 * LIST_MAX, rule)
    if allocation.get("nodeSelector") is not None:
        yield from node_selector(f"{path}.nodeSelector", allocation["nodeSelector"])


def _result(names: set[str], path: str, item: Item) -> Errors:
    yield from _reference(f"{path}.request", item.get("request") or "", names)
    yield from _device_names(path, item)
    yield from binding_conditions(path, item)
    yield from tolerations(f"{path}.tolerations", item.get("tolerations"))


def _allocated_config(names: set[str], path: str, item: Item) -> Errors:
    yield from required_one_of(f"{path}.source", item.get("source"), ("FromClaim", "FromClass"))
    yield from _config(names, path, item)
