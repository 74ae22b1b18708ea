"""Strategies of LimitRanges, ResourceQuotas and ServiceAccounts (upstream: pkg/apis/core/validation/validation.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError
from control.api.names import qualified_name_errors
from control.api.objects import Object
from control.api.quantity import Quantity
from control.apiserver.registry.strategies.field_rules import IMMUTABLE, Errors, judged
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.resource_lists import (
    STANDARD_QUOTA_RESOURCES,
    container_resource_name,
    default_resource_list,
    is_overcommit_allowed,
    quantity,
    quota_resource_name,
    resource_name,
    resource_value,
)
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategy import Strategy, WriteContext

Item = Mapping[str, Any]

_LIMIT_LISTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


class LimitRangeStrategy(Strategy):
    """Rules of LimitRanges."""

    has_generation = False
    allow_create_on_update = True

    def default(self, obj: Object) -> None:
        """Container limits default from max, default requests from default limits and min."""
        for item in obj.setdefault("spec", {}).get("limits") or ():
            if item.get("type") == "Container":
                limits = item["default"] = {**(item.get("max") or {}), **(item.get("default") or {})}
                requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
                item["defaultRequest"] = requests
                for name in ("default", "defaultRequest"):
                    if not item[name]:
                        del item[name]
            for name in _LIMIT_LISTS:
                default_resource_list(item.get(name))

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge bounds against each other."""
        errors: list[FieldError] = []
        seen: set[str] = set()
        for index, item in enumerate(obj["spec"].get("limits") or ()):
            path, kind = f"spec.limits[{index}]", item.get("type") or ""
            errors.extend(_limit_type(f"{path}.type", kind))
            if kind in seen:
                errors.append(FieldError.duplicate(f"{path}.type", kind))
            seen.add(kind)
            errors.extend(_limit_item(path, kind, item))
        return errors


def _limit_type(path: str, kind: str) -> Errors:
    if qualified_name_errors(kind):
        yield from judged(path, kind, qualified_name_errors)
    elif "/" not in kind and kind not in ("Pod", "Container", "PersistentVolumeClaim"):
        yield FieldError.invalid(path, kind, "must be a standard limit type or fully qualified")


def _limit_item(path: str, kind: str, item: Item) -> Errors:
    rule = container_resource_name if kind in ("Pod", "Container") else resource_name
    names: set[str] = set()
    for field in _LIMIT_LISTS:
        values = item.get(field) or {}
        if kind == "Pod" and field in ("default", "defaultRequest"):
            if values:
                yield FieldError.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
            continue
        for name in sorted(values):
            yield from rule(f"{path}.{field}[{name}]", name)
            names.add(name)
    if kind == "PersistentVolumeClaim" and not any("storage" in (item.get(field) or {}) for field in ("min", "max")):
        detail = "either minimum or maximum storage value is required, but neither was provided"
        yield FieldError.required(f"{path}.limits", detail)
    for name in sorted(names):
        yield from _limit_bounds(path, name, item)


def _limit_bounds(path: str, name: str, item: Item) -> Errors:
    values = {field: quantity(item[field][name]) for field in _LIMIT_LISTS if name in (item.get(field) or {})}
    for field, shown, low, high, words in (
        ("min", "min", "min", "max", "min value {} is greater than max value {}"),
        ("defaultRequest", "defaultRequest", "min", "defaultRequest",
         "min value {} is greater than default request value {}"),
        ("defaultRequest", "defaultRequest", "defaultRequest", "max",
         "default request value {} is greater than max value {}"),
        ("defaultRequest", "defaultRequest", "defaultRequest", "default",
         "default request value {} is greater than default limit value {}"),
        ("default", "min", "min", "default", "min value {} is greater than default value {}"),
        ("default", "max", "default", "max", "default value {} is greater than max value {}"),
    ):  # fmt: skip
        if low in values and high in values and values[low].nanos > values[high].nanos:
            detail = words.format(values[low], values[high])
            yield FieldError.invalid(f"{path}.{field}[{name}]", str(values[shown]), detail)
    yield from _limit_ratio(path, name, values)
    if not is_overcommit_allowed(name) and {"default", "defaultRequest"} <= values.keys():
        limit, request = values["default"], values["defaultRequest"]
        if limit.nanos != request.nanos:
            detail = f"default value {limit} must equal to defaultRequest value {request} in {name}"
            yield FieldError.invalid(f"{path}.defaultRequest[{name}]", str(request), detail)


def _limit_ratio(path: str, name: str, values: Mapping[str, Quantity]) -> Errors:
    ratio = values.get("maxLimitRequestRatio")
    if ratio is None:
        return
    where = f"{path}.maxLimitRequestRatio[{name}]"
    if ratio.milli_value < 1000:
        yield FieldError.invalid(where, str(ratio), f"ratio {ratio} is less than 1")
    low, high = values.get("min"), values.get("max")
    if low is not None and high is not None and low.nanos and ratio.milli_value / 1000 > high.nanos / low.nanos:
        detail = f"ratio {ratio} is greater than max/min = {high.nanos / low.nanos:f}"
        yield FieldError.invalid(where, str(ratio), detail)


_SCOPES = (
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
)
_CONFLICTS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_COMPUTE = frozenset(
    {"pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
    | {"ephemeral-storage", "requests.ephemeral-storage", "limits.ephemeral-storage"}
)


class ResourceQuotaStrategy(StatusStrategy):
    """Rules of ResourceQuotas."""

    has_generation = False
    returns_deleted_object = True

    def default(self, obj: Object) -> None:
        """Canonical amounts."""
        super().default(obj)
        default_resource_list(obj.setdefault("spec", {}).get("hard"))
        for name in ("hard", "used"):
            default_resource_list(obj["status"].get(name))

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge bounds and scopes."""
        spec = obj["spec"]
        return [*_amounts("spec.hard", spec.get("hard")), *_scopes("spec.scopes", spec), *_scope_selector(spec)]

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: scopes are fixed."""
        errors = self.validate(context, obj)
        scopes, old_scopes = (item["spec"].get("scopes") or [] for item in (obj, old))
        if set(scopes) != set(old_scopes):
            errors.append(FieldError.invalid("spec.scopes", scopes or None, IMMUTABLE))
        return errors

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge the counted amounts."""
        status = obj.get("status") or {}
        return [error for name in ("hard", "used") for error in _amounts(f"status.{name}", status.get(name))]


def _amounts(path: str, amounts: Item | None) -> Errors:
    for name, text in sorted((amounts or {}).items()):
        yield from quota_resource_name(f"{path}[{name}]", name)
        yield from resource_value(f"{path}[{name}]", name, text)


def _scope_fits(scope: str, resource: str) -> bool:
    if scope == "BestEffort":
        return resource == "pods"
    if scope == "VolumeAttributesClass":
        return resource in ("persistentvolumeclaims", "requests.storage")
    return scope not in _SCOPES or resource in _COMPUTE


def _scopes(path: str, spec: Item) -> Errors:
    scopes = spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            yield FieldError.invalid(path, scopes, "unsupported scope")
        for name in sorted(spec.get("hard") or ()):
            if name in STANDARD_QUOTA_RESOURCES and not _scope_fits(scope, name):
                yield FieldError.invalid(path, scopes, "unsupported scope applied to resource")
    for pair in _CONFLICTS:
        if set(pair) <= set(scopes):
            yield FieldError.invalid(path, scopes, "conflicting scopes")


_VALUE_SCOPES = ("PriorityClass", "VolumeAttributesClass")


def _scope_selector(spec: Item) -> Errors:
    path, selector = "spec.scopeSelector.matchExpressions", spec.get("scopeSelector") or {}
    requirements = selector.get("matchExpressions") or ()
    for requirement in requirements:
        scope, operator = requirement.get("scopeName") or "", requirement.get("operator") or ""
        if scope not in _SCOPES:
            yield FieldError.invalid(f"{path}.scopeName", scope, "unsupported scope")
        for name in sorted(spec.get("hard") or ()):
            if name in STANDARD_QUOTA_RESOURCES and not _scope_fits(scope, name):
                shown = internal_form("ScopeSelector", selector)
                yield FieldError.invalid(path, shown, "unsupported scope applied to resource")
        if scope in _SCOPES and scope not in _VALUE_SCOPES and operator != "Exists":
            detail = (
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
                "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
                "ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            yield FieldError.invalid(f"{path}.operator", operator, detail)
        yield from _scope_values(path, operator, requirement.get("values") or [])
    found = {requirement.get("scopeName") for requirement in requirements}
    for pair in _CONFLICTS:
        if set(pair) <= found:
            yield FieldError.invalid(path, spec.get("scopes"), "conflicting scopes")


def _scope_values(path: str, operator: str, values: list[str]) -> Errors:
    if operator in ("In", "NotIn"):
        if not values:
            detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            yield FieldError.required(f"{path}.values", detail)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            yield FieldError.invalid(f"{path}.values", values, detail)
    else:
        yield FieldError.invalid(f"{path}.operator", operator, "not a valid selector operator")


class ServiceAccountStrategy(Strategy):
    """Rules of ServiceAccounts: their list of secrets is the user's."""

    has_generation = False
    returns_deleted_object = True
