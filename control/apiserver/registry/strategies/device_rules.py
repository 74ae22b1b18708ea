"""Rules that the kinds of resource.k8s.io share: names, selectors, driver configuration, taints and tolerations.

Upstream: pkg/apis/resource/validation/validation.go. Selectors (CEL) are judged by their size alone: nothing compiles
them here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from control.api.errors import FieldError
from control.api.names import c_identifier_errors, label_value_errors
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    dns_subdomain,
    judged,
    one_of,
    qualified_name,
    required_one_of,
)
from control.apiserver.registry.strategies.volume_source_validation import csi_driver_name

Item = Mapping[str, Any]
T = TypeVar("T")

#: requests, constraints, selectors, configurations and allocated devices: upstream allows as many of each
LIST_MAX = 32
_EXPRESSION_BYTES_MAX = 10 * 1024
PARAMETER_BYTES_MAX = 10 * 1024
_POOL_NAME_MAX = 253
_ID_MAX = 32
_TAINT_EFFECTS = ("NoExecute", "NoSchedule", "None")
_BINDING_CONDITIONS_MAX = 4

#: upstream names drivers of devices as it names CSI drivers
driver_name = csi_driver_name


def bounded(path: str, items: Sequence[T] | None, maximum: int | None, rule: Callable[[str, T], Errors]) -> Errors:
    """Every item by its rule; a list over its limit is not looked into."""
    items = items or ()
    if maximum is not None and len(items) > maximum:
        yield FieldError.too_many(path, len(items), maximum)
        return
    for index, item in enumerate(items):
        yield from rule(f"{path}[{index}]", item)


def distinct(
    path: str,
    items: Sequence[T] | None,
    maximum: int | None,
    rule: Callable[[str, T], Errors],
    key: Callable[[T], Hashable],
) -> Errors:
    """A bounded list whose items have keys of their own."""
    yield from bounded(path, items, maximum, rule)
    items = items or ()
    if maximum is None or len(items) <= maximum:
        yield from _duplicates(path, [key(item) for item in items])


def _duplicates(path: str, keys: Sequence[Hashable]) -> Errors:
    seen: set[Hashable] = set()
    for index, key in enumerate(keys):
        if key in seen:
            yield FieldError.duplicate(f"{path}[{index}]", key)
        seen.add(key)


def name_of(item: Item) -> str:
    """The key of lists whose items are named."""
    return item.get("name") or ""


def pool_name(path: str, name: str) -> Errors:
    """DNS subdomains with slashes between them."""
    if not name:
        yield FieldError.required(path)
        return
    if len(name) > _POOL_NAME_MAX:
        yield FieldError.too_long(path, _POOL_NAME_MAX)
    for part in name.split("/"):
        yield from dns_subdomain(path, part)


def attribute_name(path: str, name: str) -> Errors:
    """The name of an attribute or a capacity: a C identifier, after the domain of a driver where it has one."""
    parts = name.split("/")
    if len(parts) > 2:
        yield FieldError.invalid(path, name, "must not contain more than one slash")
        return
    if len(parts) == 2:
        if parts[0]:
            yield from driver_name(path, parts[0])
        else:
            yield FieldError.invalid(path, "", "the domain must not be empty")
        if not parts[1]:
            yield FieldError.invalid(path, "", "the name must not be empty")
            return
    if len(parts[-1]) > _ID_MAX:
        yield FieldError.too_long(path, _ID_MAX)
    yield from judged(path, parts[-1], c_identifier_errors)


def full_attribute_name(path: str, name: str) -> Errors:
    """An attribute's name with its domain."""
    yield from attribute_name(path, name)
    if "/" not in name:
        yield FieldError.invalid(path, name, "a fully qualified name must be a domain and a name separated by a slash")


def selectors(path: str, items: Sequence[Item] | None, *, is_stored: bool = False) -> Errors:
    """Expressions that choose devices; stored ones may be longer than is allowed by now."""

    def selector(where: str, item: Item) -> Errors:
        cel = item.get("cel")
        if cel is None:
            yield FieldError.required(f"{where}.cel")
        elif not is_stored and len((cel.get("expression") or "").encode()) > _EXPRESSION_BYTES_MAX:
            yield FieldError.too_long(f"{where}.cel.expression", _EXPRESSION_BYTES_MAX)

    return bounded(path, items, LIST_MAX, selector)


def configuration(path: str, item: Item, *, is_stored: bool = False) -> Errors:
    """What a driver is told: its name and an object of its own."""
    opaque = item.get("opaque")
    if opaque is None:
        yield FieldError.required(f"{path}.opaque")
        return
    yield from driver_name(f"{path}.opaque.driver", opaque.get("driver") or "")
    yield from raw_object(f"{path}.opaque.parameters", opaque.get("parameters"), is_stored=is_stored)


def raw_object(path: str, value: Any, *, is_stored: bool = False) -> Errors:
    """A JSON object of a form that only its reader knows."""
    if value is None:
        yield FieldError.required(path)
    elif not is_stored and len(json.dumps(value, separators=(",", ":")).encode()) > PARAMETER_BYTES_MAX:
        yield FieldError.too_long(path, PARAMETER_BYTES_MAX)
    elif not isinstance(value, Mapping):
        yield FieldError.invalid(path, "<value omitted>", "must be a valid JSON object")


def toleration(path: str, item: Item) -> Errors:
    """The taints a request puts up with."""
    operator, value = item.get("operator") or "", item.get("value") or ""
    if item.get("key"):
        yield from qualified_name(f"{path}.key", item["key"])
    if operator == "Exists" and value:
        yield FieldError.invalid(f"{path}.value", value, "must be empty for operator `Exists`")
    if operator == "Equal":
        yield from judged(f"{path}.value", value, label_value_errors)
    yield from required_one_of(f"{path}.operator", operator, ("Equal", "Exists"))
    if item.get("effect"):
        yield from one_of(f"{path}.effect", item["effect"], _TAINT_EFFECTS)


def tolerations(path: str, items: Sequence[Item] | None) -> Errors:
    """Every toleration of a list."""
    return bounded(path, items, None, toleration)


def taint(path: str, item: Item) -> Errors:
    """What keeps requests away from a device."""
    yield from qualified_name(f"{path}.key", item.get("key") or "")
    if item.get("value"):
        yield from judged(f"{path}.value", item["value"], label_value_errors)
    yield from required_one_of(f"{path}.effect", item.get("effect"), _TAINT_EFFECTS)


def binding_conditions(path: str, item: Item) -> Errors:
    """Conditions a Pod waits for before it is bound: those of success and those of failure, or neither."""
    good, bad = (item.get(name) or [] for name in ("bindingConditions", "bindingFailureConditions"))
    good_path, bad_path = f"{path}.bindingConditions", f"{path}.bindingFailureConditions"
    for where, values in ((good_path, good), (bad_path, bad)):
        yield from bounded(where, values, _BINDING_CONDITIONS_MAX, qualified_name)
    yield from _duplicates(good_path, good)
    yield from _failure_conditions(bad_path, bad, good)
    if bad and not good:
        detail = "bindingConditions are required to use bindingFailureConditions"
        yield FieldError.invalid(good_path, item.get("bindingConditions"), detail)
    if good and not bad:
        detail = "bindingFailureConditions are required to use bindingConditions"
        yield FieldError.invalid(bad_path, item.get("bindingFailureConditions"), detail)


def _failure_conditions(path: str, bad: Sequence[str], good: Sequence[str]) -> Errors:
    for index, condition in enumerate(bad):
        if condition in bad[:index]:
            yield FieldError.duplicate(f"{path}[{index}]", condition)
        if condition in good:
            detail = "bindingFailureConditions must not overlap with bindingConditions"
            yield FieldError.invalid(f"{path}[{index}]", condition, detail)


def keyed(path: str, values: Item | None) -> Iterator[tuple[str, str, Any]]:
    """The entries of a map in key order, each with its path."""
    for key, value in sorted((values or {}).items()):
        yield f"{path}[{key}]", key, value
