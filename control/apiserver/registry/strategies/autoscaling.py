"""The strategy of HorizontalPodAutoscalers, v1 and v2 (upstream: pkg/apis/autoscaling)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control.api.errors import FieldError
from control.api.names import path_segment_name_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import Errors, dns_label, judged, nonnegative, one_of
from control.apiserver.registry.strategies.resource_lists import (
    container_resource_name,
    nonnegative_quantity,
    quantity,
)
from control.apiserver.registry.strategies.status_strategy import StatusStrategy
from control.apiserver.registry.strategy import WriteContext

Item = Mapping[str, Any]

_CPU_PERCENT = 80
_METRICS_ANNOTATION = "autoscaling.alpha.kubernetes.io/metrics"
_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_SOURCE_ORDER = ("object", "external", "pods", "resource", "containerResource")
_PERIOD_MAX = 1800
_WINDOW_MAX = 3600


class HorizontalPodAutoscalerStrategy(StatusStrategy):
    """Rules of autoscalers."""

    has_generation = False

    def default(self, obj: Object) -> None:
        """At least one replica; 80 % of the requested cpu where no metric is named."""
        super().default(obj)
        spec = obj.setdefault("spec", {})
        if spec.get("minReplicas") is None:
            spec["minReplicas"] = 1
        if obj.get("apiVersion") == "autoscaling/v1":
            annotations = obj["metadata"].get("annotations") or {}
            if spec.get("targetCPUUtilizationPercentage") is None and _METRICS_ANNOTATION not in annotations:
                spec["targetCPUUtilizationPercentage"] = _CPU_PERCENT
            return
        if not spec.get("metrics"):
            target = {"type": "Utilization", "averageUtilization": _CPU_PERCENT}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        if spec.get("behavior") is not None:
            _default_behavior(spec["behavior"])

    def prepare_for_create(self, context: WriteContext, obj: Object) -> None:
        """A new autoscaler has seen nothing; v1 prints a count of 0 that v2 leaves out."""
        counted = {"currentReplicas": 0} if "currentReplicas" in (obj.get("status") or {}) else {}
        obj["status"] = {**counted, "desiredReplicas": 0, "currentMetrics": None}

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge bounds, target, metrics and behaviour."""
        return list(_spec("spec", obj["spec"], 1))

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change; one that could scale to nothing still may."""
        return list(_spec("spec", obj["spec"], 0 if old["spec"].get("minReplicas") == 0 else 1))

    def validate_status_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge the counters."""
        status, counters = obj.get("status") or {}, ("currentReplicas", "desiredReplicas")
        return [error for name in counters for error in nonnegative(f"status.{name}", status.get(name))]


def _default_behavior(behavior: Object) -> None:
    up = behavior.get("scaleUp") or {}
    up_policies = [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ]
    defaults = {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": up_policies}
    behavior["scaleUp"] = {**defaults, **{key: value for key, value in up.items() if value is not None}}
    down = behavior.get("scaleDown") or {}
    defaults = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
    behavior["scaleDown"] = {**defaults, **{key: value for key, value in down.items() if value is not None}}


def _spec(path: str, spec: Item, lowest: int) -> Errors:
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if low is not None and low < lowest:
        yield FieldError.invalid(f"{path}.minReplicas", low, f"must be greater than or equal to {lowest}")
    if high < 1:
        yield FieldError.invalid(f"{path}.maxReplicas", high, "must be greater than 0")
    if low is not None and high < low:
        yield FieldError.invalid(f"{path}.maxReplicas", high, "must be greater than or equal to `minReplicas`")
    yield from _reference(f"{path}.scaleTargetRef", spec.get("scaleTargetRef") or {})
    for index, metric in enumerate(spec.get("metrics") or ()):
        yield from _metric(f"{path}.metrics[{index}]", metric)
    kinds = {metric.get("type") for metric in spec.get("metrics") or ()}
    if low == 0 and not kinds & {"External", "Object"}:
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        yield FieldError.forbidden(f"{path}.metrics", detail)
    behavior = spec.get("behavior") or {}
    for name in ("scaleUp", "scaleDown"):
        if behavior.get(name) is not None:
            yield from _scaling_rules(f"{path}.behavior.{name}", behavior[name])


def _reference(path: str, reference: Item) -> Errors:
    for name in ("kind", "name"):
        if not reference.get(name):
            yield FieldError.required(f"{path}.{name}")
        else:
            yield from judged(f"{path}.{name}", reference[name], path_segment_name_errors)


def _metric(path: str, metric: Item) -> Errors:
    kind = metric.get("type") or ""
    if not kind:
        yield FieldError.required(f"{path}.type", "must specify a metric source type")
    yield from one_of(f"{path}.type", kind, tuple(_SOURCES))
    present = [name for name in _SOURCE_ORDER if metric.get(name) is not None]
    if present:
        yield from _source(f"{path}.{present[0]}", present[0], metric[present[0]])
    own = _SOURCES.get(kind)
    if own is None:
        yield from one_of(f"{path}.type", kind, tuple(_SOURCES))
    elif own not in present:
        yield FieldError.required(f"{path}.{own}", "must populate information for the given metric source")
    for name in present if len(present) != 1 else ():
        if name != own:
            yield FieldError.forbidden(f"{path}.{name}", "must populate the given metric source only")


def _source(path: str, name: str, source: Item) -> Errors:
    if name in ("resource", "containerResource"):
        if not source.get("name"):
            yield FieldError.required(f"{path}.name", "must specify a resource name")
        elif name == "containerResource":
            yield from container_resource_name(f"{path}.name", source["name"])
        if name == "containerResource":
            if not source.get("container"):
                yield FieldError.required(f"{path}.container", "must specify a container")
            else:
                yield from dns_label(f"{path}.container", source["container"])
    else:
        if name == "object":
            yield from _reference(f"{path}.describedObject", source.get("describedObject") or {})
        metric_name = (source.get("metric") or {}).get("name")
        if not metric_name:
            yield FieldError.required(f"{path}.metric.name", "must specify a metric name")
        else:
            yield from judged(f"{path}.metric.name", metric_name, path_segment_name_errors)
    target = source.get("target") or {}
    yield from _target(f"{path}.target", target)
    yield from _target_of(f"{path}.target", name, target)


def _target(path: str, target: Item) -> Errors:
    kind = target.get("type") or ""
    if not kind:
        yield FieldError.required(f"{path}.type", "must specify a metric target type")
    if kind not in ("Utilization", "Value", "AverageValue"):
        yield FieldError.invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for name in ("value", "averageValue"):
        if target.get(name) is not None and quantity(target[name]).nanos <= 0:
            yield FieldError.invalid(f"{path}.{name}", str(quantity(target[name])), "must be positive")
    average = target.get("averageUtilization")
    if average is not None and average < 1:
        yield FieldError.invalid(f"{path}.averageUtilization", average, "must be greater than 0")


def _target_of(path: str, source: str, target: Item) -> Errors:
    """What each kind of source needs of its target."""
    has_value, has_average = (target.get(name) is not None for name in ("value", "averageValue"))
    has_share = target.get("averageUtilization") is not None
    if source in ("resource", "containerResource"):
        if not has_share and not has_average:
            detail = "must set either a target raw value or a target utilization"
            yield FieldError.required(f"{path}.averageUtilization", detail)
        if has_share and has_average:
            detail = "may not set both a target raw value and a target utilization"
            yield FieldError.forbidden(f"{path}.averageValue", detail)
    elif source == "pods":
        if not has_average:
            yield FieldError.required(f"{path}.averageValue", "must specify a positive target averageValue")
    elif source == "external":
        if not has_value and not has_average:
            detail = "must set either a target value for metric or a per-pod target"
            yield FieldError.required(f"{path}.averageValue", detail)
        if has_value and has_average:
            detail = "may not set both a target value for metric and a per-pod target"
            yield FieldError.forbidden(f"{path}.value", detail)
    elif not has_value and not has_average:
        yield FieldError.required(f"{path}.averageValue", "must set either a target value or averageValue")


def _scaling_rules(path: str, rules: Item) -> Errors:
    window, policies = rules.get("stabilizationWindowSeconds"), rules.get("policies") or ()
    if window is not None and window < 0:
        yield FieldError.invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    if window is not None and window > _WINDOW_MAX:
        detail = f"must be less than or equal to {_WINDOW_MAX}"
        yield FieldError.invalid(f"{path}.stabilizationWindowSeconds", window, detail)
    if rules.get("selectPolicy") is not None:
        yield from one_of(f"{path}.selectPolicy", rules["selectPolicy"], ("Disabled", "Max", "Min"))
    if not policies:
        yield FieldError.required(f"{path}.policies", "must specify at least one Policy")
    yield from _policies(f"{path}.policies", policies)
    if rules.get("tolerance") is not None:
        yield from nonnegative_quantity(f"{path}.tolerance", rules["tolerance"])


def _policies(path: str, policies: Sequence[Item]) -> Errors:
    for index, policy in enumerate(policies):
        item, value, period = f"{path}[{index}]", policy.get("value") or 0, policy.get("periodSeconds") or 0
        yield from one_of(f"{item}.type", policy.get("type") or "", ("Percent", "Pods"))
        if value <= 0:
            yield FieldError.invalid(f"{item}.value", value, "must be greater than zero")
        if period <= 0:
            yield FieldError.invalid(f"{item}.periodSeconds", period, "must be greater than zero")
        if period > _PERIOD_MAX:
            detail = f"must be less than or equal to {_PERIOD_MAX}"
            yield FieldError.invalid(f"{item}.periodSeconds", period, detail)
