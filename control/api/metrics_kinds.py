"""The kinds of metrics.k8s.io: their objects are made when somebody asks and are never stored."""

from __future__ import annotations

from typing import Final

from control.api.kinds import Kind

_DEFINITIONS = "io.k8s.metrics.pkg.apis.metrics.v1beta1."

NODE_METRICS: Final = Kind(
    group="metrics.k8s.io",
    version="v1beta1",
    kind="NodeMetrics",
    plural="nodes",
    singular="",
    namespaced=False,
    verbs=("get", "list"),
    list_kind="NodeMetricsList",
    definition=_DEFINITIONS + "NodeMetrics",
)
POD_METRICS: Final = Kind(
    group="metrics.k8s.io",
    version="v1beta1",
    kind="PodMetrics",
    plural="pods",
    singular="",
    namespaced=True,
    verbs=("get", "list"),
    list_kind="PodMetricsList",
    definition=_DEFINITIONS + "PodMetrics",
)
