"""Metrics and scaling behaviour of autoscaling/v2 in the forms that autoscaling/v1 keeps in annotations.

v1 writes flat metrics (`targetAverageUtilization`), and behaviour under the names of Go's fields: upstream encodes its
internal type there (k8s.io/kubernetes/pkg/apis/autoscaling/v1/conversion.go).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from control.api.objects import Object, ReadOnlyObject

ZERO_QUANTITY = "0"

#: the sources of a metric, in the order they are written
_SOURCES = ("object", "pods", "resource", "containerResource", "external")


def metric_to_v1(metric: ReadOnlyObject) -> Object:
    """A metric of a v2 spec as v1 writes it."""
    return _convert(metric, _SPEC_TO_V1)


def metric_from_v1(metric: ReadOnlyObject) -> Object:
    """The metric of a v2 spec that v1 wrote."""
    return _convert(metric, _SPEC_FROM_V1)


def current_metric_to_v1(metric: ReadOnlyObject) -> Object:
    """A metric of a v2 status as v1 writes it."""
    return _convert(metric, _STATUS_TO_V1)


def current_metric_from_v1(metric: ReadOnlyObject) -> Object:
    """The metric of a v2 status that v1 wrote."""
    return _convert(metric, _STATUS_FROM_V1)


Converter = Callable[[ReadOnlyObject], Object]


def _convert(metric: ReadOnlyObject, converters: Mapping[str, Converter]) -> Object:
    result: Object = {"type": metric.get("type", "")}
    for name in _SOURCES:
        if metric.get(name) is not None:
            result[name] = converters[name](metric[name])
    return result


def _present(**fields: Any) -> Object:
    return {name: value for name, value in fields.items() if value is not None}


def _metric(name: Any, selector: Any) -> Object:
    return _present(name=name or "", selector=selector)


def _object_to_v1(source: ReadOnlyObject) -> Object:
    metric, target = source.get("metric") or {}, source.get("target") or {}
    return _present(
        target=source.get("describedObject") or {},
        metricName=metric.get("name", ""),
        targetValue=target.get("value", ZERO_QUANTITY),
        selector=metric.get("selector"),
        averageValue=target.get("averageValue"),
    )


def _object_from_v1(source: ReadOnlyObject) -> Object:
    average = source.get("averageValue")
    kind = "Value" if average is None else "AverageValue"
    return {
        "describedObject": source.get("target") or {},
        "target": _present(type=kind, value=source.get("targetValue", ZERO_QUANTITY), averageValue=average),
        "metric": _metric(source.get("metricName"), source.get("selector")),
    }


def _pods_to_v1(source: ReadOnlyObject) -> Object:
    metric, target = source.get("metric") or {}, source.get("target") or {}
    return _present(
        metricName=metric.get("name", ""),
        targetAverageValue=target.get("averageValue", ZERO_QUANTITY),
        selector=metric.get("selector"),
    )


def _pods_from_v1(source: ReadOnlyObject) -> Object:
    average = source.get("targetAverageValue", ZERO_QUANTITY)
    return {
        "metric": _metric(source.get("metricName"), source.get("selector")),
        "target": {"type": "AverageValue", "averageValue": average},
    }


def _resource_to_v1(source: ReadOnlyObject) -> Object:
    target = source.get("target") or {}
    return _present(
        name=source.get("name", ""),
        targetAverageUtilization=target.get("averageUtilization"),
        targetAverageValue=target.get("averageValue"),
        container=source.get("container"),
    )


def _resource_from_v1(source: ReadOnlyObject) -> Object:
    utilization = source.get("targetAverageUtilization")
    kind = "AverageValue" if utilization is None else "Utilization"
    target = _present(type=kind, averageValue=source.get("targetAverageValue"), averageUtilization=utilization)
    return _present(name=source.get("name", ""), target=target, container=source.get("container"))


def _external_to_v1(source: ReadOnlyObject) -> Object:
    metric, target = source.get("metric") or {}, source.get("target") or {}
    return _present(
        metricName=metric.get("name", ""),
        metricSelector=metric.get("selector"),
        targetValue=target.get("value"),
        targetAverageValue=target.get("averageValue"),
    )


def _external_from_v1(source: ReadOnlyObject) -> Object:
    value = source.get("targetValue")
    kind = "AverageValue" if value is None else "Value"
    return {
        "metric": _metric(source.get("metricName"), source.get("metricSelector")),
        "target": _present(type=kind, value=value, averageValue=source.get("targetAverageValue")),
    }


def _current_object_to_v1(source: ReadOnlyObject) -> Object:
    metric, current = source.get("metric") or {}, source.get("current") or {}
    return _present(
        target=source.get("describedObject") or {},
        metricName=metric.get("name", ""),
        currentValue=current.get("value", ZERO_QUANTITY),
        selector=metric.get("selector"),
        averageValue=current.get("averageValue"),
    )


def _current_object_from_v1(source: ReadOnlyObject) -> Object:
    current = _present(value=source.get("currentValue", ZERO_QUANTITY), averageValue=source.get("averageValue"))
    metric = _metric(source.get("metricName"), source.get("selector"))
    return {"metric": metric, "current": current, "describedObject": source.get("target") or {}}


def _current_pods_to_v1(source: ReadOnlyObject) -> Object:
    metric, current = source.get("metric") or {}, source.get("current") or {}
    return _present(
        metricName=metric.get("name", ""),
        currentAverageValue=current.get("averageValue", ZERO_QUANTITY),
        selector=metric.get("selector"),
    )


def _current_pods_from_v1(source: ReadOnlyObject) -> Object:
    metric = _metric(source.get("metricName"), source.get("selector"))
    return {"metric": metric, "current": {"averageValue": source.get("currentAverageValue", ZERO_QUANTITY)}}


def _current_resource_to_v1(source: ReadOnlyObject) -> Object:
    current = source.get("current") or {}
    return _present(
        name=source.get("name", ""),
        currentAverageUtilization=current.get("averageUtilization"),
        currentAverageValue=current.get("averageValue", ZERO_QUANTITY),
        container=source.get("container"),
    )


def _current_resource_from_v1(source: ReadOnlyObject) -> Object:
    current = _present(
        averageValue=source.get("currentAverageValue", ZERO_QUANTITY),
        averageUtilization=source.get("currentAverageUtilization"),
    )
    return _present(name=source.get("name", ""), current=current, container=source.get("container"))


def _current_external_to_v1(source: ReadOnlyObject) -> Object:
    metric, current = source.get("metric") or {}, source.get("current") or {}
    return _present(
        metricName=metric.get("name", ""),
        metricSelector=metric.get("selector"),
        currentValue=current.get("value", ZERO_QUANTITY),
        currentAverageValue=current.get("averageValue"),
    )


def _current_external_from_v1(source: ReadOnlyObject) -> Object:
    metric = _metric(source.get("metricName"), source.get("metricSelector"))
    current = _present(value=source.get("currentValue", ZERO_QUANTITY), averageValue=source.get("currentAverageValue"))
    return {"metric": metric, "current": current}


def _by_source(*converters: Converter) -> Mapping[str, Converter]:
    return dict(zip(_SOURCES, converters, strict=True))


_SPEC_TO_V1 = _by_source(_object_to_v1, _pods_to_v1, _resource_to_v1, _resource_to_v1, _external_to_v1)
_SPEC_FROM_V1 = _by_source(_object_from_v1, _pods_from_v1, _resource_from_v1, _resource_from_v1, _external_from_v1)
_STATUS_TO_V1 = _by_source(
    _current_object_to_v1,
    _current_pods_to_v1,
    _current_resource_to_v1,
    _current_resource_to_v1,
    _current_external_to_v1,
)
_STATUS_FROM_V1 = _by_source(
    _current_object_from_v1,
    _current_pods_from_v1,
    _current_resource_from_v1,
    _current_resource_from_v1,
    _current_external_from_v1,
)

_RULE_FIELDS = ("stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance")
_POLICY_FIELDS = ("type", "value", "periodSeconds")


def _go_name(name: str) -> str:
    return name[0].upper() + name[1:]


def behavior_to_v1(behavior: ReadOnlyObject) -> Object:
    """Scaling behaviour under Go's field names, everything written."""
    return {_go_name(side): _rules_to_v1(behavior.get(side)) for side in ("scaleUp", "scaleDown")}


def _rules_to_v1(rules: ReadOnlyObject | None) -> Object | None:
    if rules is None:
        return None
    result = {_go_name(name): rules.get(name) for name in _RULE_FIELDS}
    if rules.get("policies"):
        result["Policies"] = [{_go_name(name): item.get(name) for name in _POLICY_FIELDS} for item in rules["policies"]]
    return result


def behavior_from_v1(written: ReadOnlyObject) -> Object:
    """The scaling behaviour that v1 wrote. Names match in any case, as Go reads them."""
    return _with_lower_names(written)  # type: ignore[no-any-return]


def _with_lower_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name[:1].lower() + name[1:]: _with_lower_names(item) for name, item in value.items() if item is not None
        }
    return [_with_lower_names(item) for item in value] if isinstance(value, list) else value
