"""HorizontalPodAutoscaler between autoscaling/v1 and the stored autoscaling/v2.

v1 knows one CPU percentage; everything else of v2 travels in annotations, under upstream's names
(k8s.io/kubernetes/pkg/apis/autoscaling/v1/conversion.go), so that nothing is lost on the way.
"""

from __future__ import annotations

import json
from typing import Any

from control.api.objects import Object, ReadOnlyObject, copy_object
from control.apiserver.registry.autoscaler_metrics import (
    behavior_from_v1,
    behavior_to_v1,
    current_metric_from_v1,
    current_metric_to_v1,
    metric_from_v1,
    metric_to_v1,
)

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_ANNOTATIONS = (_METRICS, _CURRENT_METRICS, _CONDITIONS, _BEHAVIOR)


def _is_cpu_percentage(metric: Any) -> bool:
    resource = metric.get("resource") or {}
    return (
        metric.get("type") == "Resource"
        and resource.get("name") == "cpu"
        and (resource.get("target") or {}).get("averageUtilization") is not None
    )


def _is_current_cpu(metric: Any) -> bool:
    resource = metric.get("resource") or {}
    return (
        metric.get("type") == "Resource"
        and resource.get("name") == "cpu"
        and (resource.get("current") or {}).get("averageUtilization") is not None
    )


def autoscaler_to_v2(obj: ReadOnlyObject) -> Object:
    """Convert v1 to v2: the annotations become fields, the CPU percentage becomes the last metric."""
    result: Object = copy_object(obj)
    result["apiVersion"] = "autoscaling/v2"
    annotations = result.get("metadata", {}).get("annotations") or {}
    kept = {name: _parse(annotations.pop(name)) for name in _ANNOTATIONS if name in annotations}
    if not annotations:
        result.get("metadata", {}).pop("annotations", None)
    spec, status = result.setdefault("spec", {}), result.setdefault("status", {})
    metrics = [metric_from_v1(metric) for metric in _objects(kept.get(_METRICS))]
    percentage = spec.pop("targetCPUUtilizationPercentage", None)
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        spec["metrics"] = metrics
    if isinstance(kept.get(_BEHAVIOR), dict):
        spec["behavior"] = behavior_from_v1(kept[_BEHAVIOR])
    current = [current_metric_from_v1(metric) for metric in _objects(kept.get(_CURRENT_METRICS))]
    current_percentage = status.pop("currentCPUUtilizationPercentage", None)
    if current_percentage is not None and not current:
        reading = {"averageUtilization": current_percentage}
        current = [{"type": "Resource", "resource": {"name": "cpu", "current": reading}}]
    status["currentMetrics"] = current or None
    if conditions := _objects(kept.get(_CONDITIONS)):
        status["conditions"] = conditions
    return result


def autoscaler_from_v2(obj: ReadOnlyObject) -> Object:
    """Convert v2 to v1: the first CPU percentage becomes the field, the rest becomes annotations."""
    result: Object = copy_object(obj)
    result["apiVersion"] = "autoscaling/v1"
    spec, status = result.setdefault("spec", {}), result.setdefault("status", {})
    texts: dict[str, str] = {}
    metrics = spec.pop("metrics", None) or []
    percentages = [metric for metric in metrics if _is_cpu_percentage(metric)]
    if percentages:
        spec["targetCPUUtilizationPercentage"] = percentages[0]["resource"]["target"]["averageUtilization"]
    others = [metric_to_v1(metric) for metric in metrics if not _is_cpu_percentage(metric)]
    if others:
        texts[_METRICS] = _format(others)
    if behavior := spec.pop("behavior", None):
        texts[_BEHAVIOR] = _format(behavior_to_v1(behavior))
    status.setdefault("currentReplicas", 0)
    current = status.pop("currentMetrics", None) or []
    for metric in current:
        if _is_current_cpu(metric):
            status["currentCPUUtilizationPercentage"] = metric["resource"]["current"]["averageUtilization"]
    if current:
        texts[_CURRENT_METRICS] = _format([current_metric_to_v1(metric) for metric in current])
    if conditions := status.pop("conditions", None):
        texts[_CONDITIONS] = _format(conditions)
    if texts:
        metadata = result.setdefault("metadata", {})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **texts}
    return result


def _format(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _objects(value: Any) -> list[Object]:
    """What an annotation holds, if it is a list of objects: a client may have written anything there."""
    return value if isinstance(value, list) and all(isinstance(item, dict) for item in value) else []
