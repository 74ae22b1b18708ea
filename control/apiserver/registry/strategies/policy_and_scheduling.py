"""Strategies of PodDisruptionBudgets, PriorityClasses, RuntimeClasses and Leases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from control.api.errors import FieldError
from control.api.objects import Object
from control.apiserver.registry.strategies.condition_rules import conditions
from control.apiserver.registry.strategies.field_rules import (
    IMMUTABLE,
    Errors,
    dns_label,
    immutable,
    label_selector,
    label_values,
    nonnegative,
    not_over_100_percent,
    one_of,
    percent_or_count,
    required_one_of,
)
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.node_label_warnings import find_label_deprecation
from control.apiserver.registry.strategies.resource_lists import default_resource_list, requirements
from control.apiserver.registry.strategies.scheduling_validation import tolerations
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategy import Strategy, WriteContext


class PodDisruptionBudgetStrategy(StatusStrategy):
    """Upstream: pkg/apis/policy/validation."""

    allow_unconditional_update = False
    empty_status: ClassVar[dict[str, Any]] = {
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    }

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge bounds and selector."""
        return list(_budget("spec", obj["spec"]))

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge the counters."""
        status = obj.get("status") or {}
        counters = [error for name in self.empty_status for error in nonnegative(f"status.{name}", status.get(name))]
        return [*conditions("status.conditions", status.get("conditions")), *counters]


def _budget(path: str, spec: Mapping[str, Any]) -> Errors:
    names = ("minAvailable", "maxUnavailable")
    if all(spec.get(name) is not None for name in names):
        shown = {
            "MinAvailable": spec["minAvailable"],
            "Selector": spec.get("selector"),
            "MaxUnavailable": spec["maxUnavailable"],
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        yield FieldError.invalid(path, shown, "minAvailable and maxUnavailable cannot be both set")
    for name in names:
        if spec.get(name) is not None:
            yield from percent_or_count(f"{path}.{name}", spec[name])
            yield from not_over_100_percent(f"{path}.{name}", spec[name])
    yield from label_selector(f"{path}.selector", spec.get("selector"))
    if spec.get("unhealthyPodEvictionPolicy") is not None:
        supported = ("AlwaysAllow", "IfHealthyBudget")
        yield from one_of(f"{path}.unhealthyPodEvictionPolicy", spec["unhealthyPodEvictionPolicy"], supported)


_SYSTEM_PRIORITIES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
_USER_PRIORITY_MAX = 1_000_000_000


class PriorityClassStrategy(Strategy):
    """Upstream: pkg/apis/scheduling/validation."""

    allow_create_on_update = True

    def default(self, obj: Object) -> None:
        """A class preempts unless told."""
        if not obj.get("preemptionPolicy"):
            obj["preemptionPolicy"] = "PreemptLowerPriority"

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """The highest numbers and the names that begin with `system-` are the system's."""
        name, value = obj["metadata"].get("name") or "", obj.get("value") or 0
        errors: list[FieldError] = []
        if name.startswith("system-"):
            if _SYSTEM_PRIORITIES.get(name) != value:
                why = f"{name} is not a known system priority class"
                if name in _SYSTEM_PRIORITIES:
                    why = f"value of {name} PriorityClass must be {_SYSTEM_PRIORITIES[name]}"
                detail = f"priority class names with 'system-' prefix are reserved for system use only. error: {why}"
                errors.append(FieldError.forbidden("metadata.name", detail))
        elif value > _USER_PRIORITY_MAX:
            detail = f"maximum allowed value of a user defined priority is {_USER_PRIORITY_MAX}"
            errors.append(FieldError.forbidden("value", detail))
        supported = ("PreemptLowerPriority", "Never")
        return errors + list(required_one_of("preemptionPolicy", obj.get("preemptionPolicy"), supported))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Number and policy are fixed: Pods have copied them."""
        errors: list[FieldError] = []
        if obj.get("value") != old.get("value"):
            errors.append(FieldError.invalid("value", obj.get("value") or 0, IMMUTABLE))
        policy, old_policy = obj.get("preemptionPolicy"), old.get("preemptionPolicy")
        return errors + list(immutable("preemptionPolicy", policy, old_policy))


class RuntimeClassStrategy(Strategy):
    """Upstream: pkg/apis/node/validation."""

    has_generation = False
    allow_create_on_update = True
    allow_unconditional_update = False

    def default(self, obj: Object) -> None:
        """Tolerations mean Equal as in Pods; amounts are canonical."""
        default_resource_list((obj.get("overhead") or {}).get("podFixed"))

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge handler, overhead and placement."""
        errors = list(dns_label("handler", obj.get("handler") or ""))
        overhead = (obj.get("overhead") or {}).get("podFixed")
        if overhead:
            errors.extend(requirements("overhead", {"limits": overhead}, frozenset()))
        scheduling = obj.get("scheduling") or {}
        errors.extend(label_values("scheduling.nodeSelector", scheduling.get("nodeSelector")))
        return errors + list(_unique_tolerations("scheduling.tolerations", scheduling.get("tolerations") or ()))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """The handler is fixed."""
        return list(immutable("handler", obj.get("handler"), old.get("handler")))

    def warnings_on_create(self, context: WriteContext, obj: Object) -> list[str]:
        """Node labels that have newer names."""
        labels = (obj.get("scheduling") or {}).get("nodeSelector") or {}
        found = (find_label_deprecation(key) for key in sorted(labels))
        return [f"scheduling.nodeSelector: {text}" for text in found if text is not None]

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """The same."""
        return self.warnings_on_create(context, obj)


def _unique_tolerations(path: str, items: Sequence[Mapping[str, Any]]) -> Errors:
    yield from tolerations(path, items)
    seen: set[tuple[str, ...]] = set()
    for index, item in enumerate(items):
        key = tuple(item.get(name) or "" for name in ("key", "operator", "value", "effect"))
        if key in seen:
            yield FieldError.duplicate(f"{path}[{index}]", internal_form("Toleration", item))
        seen.add(key)


class LeaseStrategy(Strategy):
    """Upstream: pkg/apis/coordination/validation."""

    has_generation = False
    allow_create_on_update = True
    allow_unconditional_update = False

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """The gate of elections by the server is off."""
        _drop_election(obj, {})

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """The same, unless the old Lease was elected already."""
        _drop_election(obj, old.get("spec") or {})

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge duration and counter."""
        spec = obj.get("spec") or {}
        errors: list[FieldError] = []
        duration = spec.get("leaseDurationSeconds")
        if duration is not None and duration <= 0:
            errors.append(FieldError.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        return errors + list(nonnegative("spec.leaseTransitions", spec.get("leaseTransitions")))


def _drop_election(obj: Object, old: Mapping[str, Any]) -> None:
    for name in ("strategy", "preferredHolder"):
        if obj.get("spec") and old.get(name) is None:
            obj["spec"].pop(name, None)
