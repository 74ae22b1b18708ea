"""The strategy of DaemonSets (upstream: pkg/registry/apps/daemonset/strategy.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from control.api.errors import FieldError
from control.api.objects import Object
from control.api.selectors import parse_label_integer
from control.apiserver.registry.strategies.field_rules import (
    Errors,
    label_selector,
    nonnegative,
    not_over_100_percent,
    percent_or_count,
    selector_form,
)
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategies.pod_defaults import default_pod_template
from control.apiserver.registry.strategies.workload_rules import (
    amount,
    collisions,
    default_number,
    default_rolling_update,
    frozen_selector,
    matching_template,
)
from control.apiserver.registry.strategies.workload_strategy import WorkloadStrategy
from control.apiserver.registry.strategy import WriteContext

Spec = Mapping[str, Any]

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


class DaemonSetStrategy(WorkloadStrategy):
    """Rules of DaemonSets."""

    empty_status: ClassVar[dict[str, Any]] = {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }

    def default(self, obj: Object) -> None:
        """Fill upstream's defaults."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        rolling = default_rolling_update(spec.setdefault("updateStrategy", {}))
        if rolling is not None:
            default_number(rolling, "maxUnavailable", 1)
            default_number(rolling, "maxSurge", 0)
        default_number(spec, "revisionHistoryLimit", 10)
        default_pod_template(spec)
        # The template's generation was a field before apps/v1; its annotation is there from the first moment.
        _set_template_generation(obj, _template_generation(obj))

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """The template's generation lives in an annotation since apps/v1."""
        super().prepare_for_create(context, obj)
        _set_template_generation(obj, 1)

    def prepare_for_update(self, context: WriteContext, obj: Object, old: Object) -> None:
        """A changed template counts one generation up; clients cannot set it."""
        super().prepare_for_update(context, obj, old)
        generation = _template_generation(old)
        changed = obj["spec"].get("template") != old["spec"].get("template")
        _set_template_generation(obj, generation + 1 if changed else generation)

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new DaemonSet."""
        return list(_spec("spec", obj["spec"]))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a changed DaemonSet."""
        return [*self.validate(context, obj), *frozen_selector("spec.selector", obj, old)]

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge the counters."""
        status = obj.get("status") or {}
        counters = (*self.empty_status, "observedGeneration", "updatedNumberScheduled", "numberAvailable")
        names = (*counters, "numberUnavailable", "collisionCount")
        errors = [error for name in names for error in nonnegative(f"status.{name}", status.get(name))]
        return errors + list(collisions("status.collisionCount", status, old.get("status") or {}))

    def warnings_on_update(self, context: WriteContext, obj: Object, old: Object) -> list[str]:
        """Those of the template, when that changed."""
        changed = _template_generation(obj) != _template_generation(old)
        return self.warnings_on_create(context, obj) if changed else []


def _template_generation(obj: Object) -> int:
    text = (obj["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "0")
    return parse_label_integer(text) or 0


def _set_template_generation(obj: Object, generation: int) -> None:
    annotations = dict(obj["metadata"].get("annotations") or {})
    annotations[TEMPLATE_GENERATION] = str(generation)
    obj["metadata"]["annotations"] = annotations


def _spec(path: str, spec: Spec) -> Errors:
    selector = spec.get("selector")
    yield from label_selector(f"{path}.selector", selector)
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        detail = "empty selector is invalid for daemonset"
        yield FieldError.invalid(f"{path}.selector", selector_form(selector), detail)
    yield from matching_template(f"{path}.template", selector, spec["template"], "DaemonSet")
    yield from nonnegative(f"{path}.minReadySeconds", spec.get("minReadySeconds"))
    yield from _update_strategy(f"{path}.updateStrategy", spec["updateStrategy"])
    yield from nonnegative(f"{path}.revisionHistoryLimit", spec.get("revisionHistoryLimit"))


def _update_strategy(path: str, update: Spec) -> Errors:
    if update.get("type") == "OnDelete":
        return
    if update.get("type") != "RollingUpdate":
        shown = internal_form("DeploymentStrategy", update)
        yield FieldError.not_supported(path, shown, ("RollingUpdate", "OnDelete"))
        return
    rolling = update.get("rollingUpdate") or {}
    where = f"{path}.rollingUpdate"
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    for name, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        yield from percent_or_count(f"{where}.{name}", value)
    for name, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        yield from not_over_100_percent(f"{where}.{name}", value)
    if amount(unavailable) and amount(surge):
        yield FieldError.invalid(f"{where}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    elif not amount(unavailable) and not amount(surge):
        yield FieldError.required(f"{where}.maxUnavailable", "cannot be 0 when maxSurge is 0")
