"""Columns of metrics.k8s.io, as metrics-server prints them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from control.api.objects import ReadOnlyObject
from control.api.quantity import Quantity, format_quantity, parse_quantity
from control.schema.columns.column import Column, TableLayout, name_of

_RESOURCES = ("cpu", "memory")
_COLUMNS = (
    Column(name="Name", format="name", description="Name of the resource"),
    *(Column(name=resource, format="quantity") for resource in _RESOURCES),
    Column(name="Window", format="duration"),
)


def _node_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), *_sums([obj["usage"]]), obj["window"]]


def _pod_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), *_sums(container["usage"] for container in obj["containers"]), obj["window"]]


def _sums(usages: Iterable[Mapping[str, str]]) -> list[str]:
    totals = {resource: Quantity(0) for resource in _RESOURCES}
    for usage in usages:
        for resource in _RESOURCES:
            totals[resource] = totals[resource].plus(parse_quantity(usage[resource]))
    return [format_quantity(totals[resource]) for resource in _RESOURCES]


LAYOUTS: dict[tuple[str, str], TableLayout] = {
    ("metrics.k8s.io", "NodeMetrics"): TableLayout(columns=_COLUMNS, cells=_node_cells),
    ("metrics.k8s.io", "PodMetrics"): TableLayout(columns=_COLUMNS, cells=_pod_cells),
}
