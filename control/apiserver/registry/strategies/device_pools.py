"""Strategies of DeviceClasses and ResourceSlices (upstream: pkg/apis/resource)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from control.api.errors import FieldError
from control.api.objects import Object
from control.apiserver.registry.strategies.capacity_policies import request_policy
from control.apiserver.registry.strategies.device_rules import (
    LIST_MAX,
    attribute_name,
    binding_conditions,
    bounded,
    configuration,
    distinct,
    driver_name,
    keyed,
    name_of,
    pool_name,
    selectors,
    taint,
)
from control.apiserver.registry.strategies.field_rules import (
    NOT_POSITIVE,
    Errors,
    dns_label,
    dns_subdomain,
    immutable,
)
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.resource_lists import is_extended, quantity
from control.apiserver.registry.strategies.scheduling_validation import node_selector
from control.apiserver.registry.strategy import FieldLabels, Strategy, WriteContext

Item = Mapping[str, Any]

_DEVICES_MAX = 128
#: devices with taints or shared counters take more room
_LARGE_DEVICES_MAX = 64
_ATTRIBUTES_MAX = 32
_TAINTS_MAX = 16
_VALUE_BYTES_MAX = 64
_COUNTER_SETS_MAX = 8
_CONSUMPTIONS_MAX = 2
_COUNTERS_MAX = 32
_TRUE_OR_UNSET = "must be either unset or set to true"
_ONE_PLACE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_ONE_DEVICE_PLACE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true "
    "in the ResourceSlice spec"
)
_NO_DEVICE_PLACE = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the "
    "ResourceSlice spec"
)
_NUMBER, _BUILD = r"(0|[1-9]\d*)", r"[0-9a-zA-Z-]+"
_PRERELEASE = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRERELEASE}(\.{_PRERELEASE})*)?(\+{_BUILD}(\.{_BUILD})*)?", re.ASCII
)
_VALUES = ("bool", "int", "string", "version")


class DeviceClassStrategy(Strategy):
    """Rules of DeviceClasses."""

    returns_deleted_object = True

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge selectors and configuration."""
        return list(_device_class(obj.get("spec") or {}, None))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: limits hold for what is new."""
        return list(_device_class(obj.get("spec") or {}, old.get("spec") or {}))


def _device_class(spec: Item, old: Item | None) -> Errors:
    is_stored = [old is not None and spec.get(name) == old.get(name) for name in ("selectors", "config")]
    yield from selectors("spec.selectors", spec.get("selectors"), is_stored=is_stored[0])
    yield from bounded("spec.config", spec.get("config"), LIST_MAX, partial(configuration, is_stored=is_stored[1]))
    name = spec.get("extendedResourceName")
    if name is not None and not is_extended(name):
        yield FieldError.invalid("spec.extendedResourceName", name, "must be a valid extended resource name")


class ResourceSliceStrategy(Strategy):
    """Rules of ResourceSlices."""

    returns_deleted_object = True
    field_labels = FieldLabels.of(
        "spec.nodeName",
        "spec.driver",
        has_namespace=False,
        refusal="field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}",
    )

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """Fields a field selector can name."""
        spec = obj.get("spec") or {}
        return {"spec.nodeName": spec.get("nodeName") or "", "spec.driver": spec.get("driver") or ""}

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge pool, place and devices."""
        return list(_slice(obj.get("spec") or {}, None))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: a slice stays in its pool and on its node."""
        return list(_slice(obj.get("spec") or {}, old.get("spec") or {}))


def _slice(spec: Item, old: Item | None) -> Errors:
    yield from driver_name("spec.driver", spec.get("driver") or "")
    yield from _pool("spec.pool", spec.get("pool") or {})
    if old is not None:
        names = [name_of(item.get("pool") or {}) for item in (spec, old)]
        yield from immutable("spec.pool.name", *names)
        for field in ("driver", "nodeName"):
            yield from immutable(f"spec.{field}", spec.get(field), old.get(field))
    yield from _place("spec", spec)
    if spec.get("sharedCounters") is not None and spec.get("devices") is not None:
        yield FieldError.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed")
    devices = spec.get("devices") or ()
    is_large = any(device.get("taints") or device.get("consumesCounters") for device in devices)
    known = {name_of(device): device for device in reversed((old or {}).get("devices") or [])}
    rule = partial(_device, known, bool(spec.get("perDeviceNodeSelection")))
    yield from distinct("spec.devices", devices, _LARGE_DEVICES_MAX if is_large else _DEVICES_MAX, rule, name_of)
    yield from distinct("spec.sharedCounters", spec.get("sharedCounters"), _COUNTER_SETS_MAX, _counter_set, name_of)


def _pool(path: str, pool: Item) -> Errors:
    yield from pool_name(f"{path}.name", name_of(pool))
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        yield FieldError.invalid(f"{path}.resourceSliceCount", count, NOT_POSITIVE)
    if generation < 0:
        yield FieldError.invalid(f"{path}.generation", generation, "must be greater than or equal to zero")


def _place(path: str, spec: Item) -> Errors:
    """Where the devices of a slice can be used: said once."""
    chosen = []
    if spec.get("nodeName"):
        chosen.append("`nodeName`")
        yield from dns_subdomain(f"{path}.nodeName", spec["nodeName"])
    elif spec.get("nodeName") is not None:
        detail = "must be either unset or set to a non-empty string"
        yield FieldError.invalid(f"{path}.nodeName", "", detail)
    selector = spec.get("nodeSelector")
    if selector is not None:
        chosen.append("`nodeSelector`")
        yield from node_selector(f"{path}.nodeSelector", selector)
        terms = internal_form("NodeSelector", selector)["NodeSelectorTerms"]
        if len(terms or ()) != 1:
            detail = "must have exactly one node selector term"
            yield FieldError.invalid(f"{path}.nodeSelector.nodeSelectorTerms", terms, detail)
    for name in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(name):
            chosen.append(f"`{name}`")
        elif spec.get(name) is not None:
            yield FieldError.invalid(f"{path}.{name}", False, _TRUE_OR_UNSET)
    if not chosen:
        yield FieldError.required(path, _ONE_PLACE)
    elif len(chosen) > 1:
        shown = "{" + ", ".join(chosen) + "}"
        yield FieldError.invalid(path, shown, f"{_ONE_PLACE}, but multiple fields are set")


def _device(known: Mapping[str, Item], is_placed: bool, path: str, device: Item) -> Errors:
    old = known.get(name_of(device))
    yield from dns_label(f"{path}.name", name_of(device))
    count = len(device.get("attributes") or ()) + len(device.get("capacity") or ())
    if count > _ATTRIBUTES_MAX:
        detail = f"the total number of attributes and capacities must not exceed {_ATTRIBUTES_MAX}"
        yield FieldError.invalid(path, count, detail)
    for where, key, value in keyed(f"{path}.attributes", device.get("attributes")):
        yield from attribute_name(f"{path}.attributes", key)
        yield from _attribute(where, value)
    if old is None or old.get("capacity") != device.get("capacity"):
        yield from _capacity(f"{path}.capacity", device)
    if old is None or old.get("taints") != device.get("taints"):
        yield from bounded(f"{path}.taints", device.get("taints"), _TAINTS_MAX, taint)
    yield from distinct(
        f"{path}.consumesCounters",
        device.get("consumesCounters"),
        _CONSUMPTIONS_MAX,
        partial(_counters, "counterSet"),
        lambda item: item.get("counterSet") or "",
    )
    yield from _device_place(path, device, is_placed=is_placed)
    yield from binding_conditions(path, device)


def _attribute(path: str, attribute: Item) -> Errors:
    version, text = attribute.get("version"), attribute.get("string")
    if text is not None and len(text.encode()) > _VALUE_BYTES_MAX:
        yield FieldError.too_long(f"{path}.string", _VALUE_BYTES_MAX)
    if version is not None and not _VERSION.fullmatch(version):
        detail = "must be a string compatible with semver.org spec 2.0.0"
        yield FieldError.invalid(f"{path}.version", version, detail)
    if version is not None and len(version.encode()) > _VALUE_BYTES_MAX:
        yield FieldError.too_long(f"{path}.version", _VALUE_BYTES_MAX)
    count = sum(attribute.get(name) is not None for name in _VALUES)
    if count != 1:
        shown = internal_form("DeviceAttribute", attribute) if count else ""
        yield FieldError.invalid(path, shown, "exactly one value must be specified")


def _capacity(path: str, device: Item) -> Errors:
    for where, key, value in keyed(path, device.get("capacity")):
        yield from attribute_name(path, key)
        policy = value.get("requestPolicy")
        if policy is not None and not device.get("allowMultipleAllocations"):
            yield FieldError.forbidden(f"{where}.requestPolicy", "allowMultipleAllocations must be true")
        elif policy is not None:
            yield from request_policy(f"{where}.requestPolicy", quantity(value.get("value") or "0"), policy)


def _device_place(path: str, device: Item, *, is_placed: bool) -> Errors:
    """Where one device can be used, for slices that leave it to their devices."""
    name, selector, everywhere = (device.get(field) for field in ("nodeName", "nodeSelector", "allNodes"))
    if not is_placed:
        if not name is selector is everywhere is None:
            yield FieldError.invalid(path, None, _NO_DEVICE_PLACE)
        return
    chosen = []
    if name:
        chosen.append("`nodeName`")
        yield from dns_subdomain(f"{path}.nodeName", name)
    elif name is not None:
        yield FieldError.invalid(f"{path}.nodeName", name, "must not be empty")
    if selector is not None:
        chosen.append("`nodeSelector`")
        yield from node_selector(f"{path}.nodeSelector", selector)
    if everywhere:
        chosen.append("`allNodes`")
    elif everywhere is not None:
        yield FieldError.invalid(f"{path}.allNodes", everywhere, _TRUE_OR_UNSET)
    if not chosen:
        yield FieldError.required(path, _ONE_DEVICE_PLACE)
    elif len(chosen) > 1:
        yield FieldError.invalid(path, "{" + ", ".join(chosen) + "}", _ONE_DEVICE_PLACE)


def _counter_set(path: str, item: Item) -> Errors:
    return _counters("name", path, item)


def _counters(name_field: str, path: str, item: Item) -> Errors:
    """Named counters of the set that `name_field` names."""
    name, counters = item.get(name_field) or "", item.get("counters") or {}
    if name:
        yield from dns_label(f"{path}.{name_field}", name)
    else:
        yield FieldError.required(f"{path}.{name_field}")
    if not counters:
        yield FieldError.required(f"{path}.counters")
    elif len(counters) > _COUNTERS_MAX:
        yield FieldError.too_many(f"{path}.counters", len(counters), _COUNTERS_MAX)
    else:
        for key in sorted(counters):
            yield from dns_label(f"{path}.counters", key)
