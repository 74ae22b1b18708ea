"""OpenAPI definitions of metrics.k8s.io/v1beta1, in the form of the packaged ones, which lack them."""

from __future__ import annotations

from typing import Any

_METRICS = "io.k8s.metrics.pkg.apis.metrics.v1beta1."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_DURATION = _META + "Duration"


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _object(kind: str, description: str, required: tuple[str, ...], **fields: dict[str, Any]) -> dict[str, Any]:
    definition: dict[str, Any] = {"description": description, "type": "object", "required": list(required)}
    properties = dict(fields)
    if kind:
        properties["apiVersion"] = _text("Version of the schema of this object.")
        properties["kind"] = _text("Kind of this object.")
        group = {"group": "metrics.k8s.io", "version": "v1beta1", "kind": kind}
        definition["x-kubernetes-group-version-kind"] = [group]
    return {**definition, "properties": dict(sorted(properties.items()))}


def _list(kind: str) -> dict[str, Any]:
    items = {"type": "array", "items": _reference(_METRICS + kind), "description": f"The {kind} objects."}
    metadata = {**_reference(_META + "ListMeta"), "description": "Metadata of the list."}
    return _object(f"{kind}List", f"A list of {kind}.", ("items",), metadata=metadata, items=items)


_USAGE = {
    "type": "object",
    "additionalProperties": _reference("io.k8s.apimachinery.pkg.api.resource.Quantity"),
    "description": "Processor time per second and working set of the memory.",
}
_MEASURED = {
    "metadata": {**_reference(_META + "ObjectMeta"), "description": "Metadata of what was measured."},
    "timestamp": {**_reference(_META + "Time"), "description": "End of the interval that was measured."},
    "window": {**_reference(_DURATION), "description": "Length of the interval."},
}
_CONTAINERS = {
    "type": "array",
    "items": _reference(_METRICS + "ContainerMetrics"),
    "description": "What each container uses.",
    "x-kubernetes-patch-merge-key": "name",
    "x-kubernetes-patch-strategy": "merge",
}

METRICS_DEFINITIONS: dict[str, dict[str, Any]] = {
    _DURATION: _text("A length of time as Go writes it, such as 1m30s."),
    _METRICS + "ContainerMetrics": _object(
        "", "What one container uses.", ("name", "usage"), name=_text("Name of the container."), usage=_USAGE
    ),
    _METRICS + "NodeMetrics": _object(
        "NodeMetrics", "What a node uses.", ("timestamp", "window", "usage"), **_MEASURED, usage=_USAGE
    ),
    _METRICS + "PodMetrics": _object(
        "PodMetrics", "What the containers of a Pod use.", ("timestamp", "window", "containers"), **_MEASURED,
        containers=_CONTAINERS,
    ),
    _METRICS + "NodeMetricsList": _list("NodeMetrics"),
    _METRICS + "PodMetricsList": _list("PodMetrics"),
}  # fmt: skip
