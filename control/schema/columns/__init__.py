"""Table columns per kind, one file per family. A kind without an entry shows its name and when it was created."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from control.api.kinds import Kind
from control.api.objects import ReadOnlyObject
from control.schema.columns import cluster, extension, metrics, networking, pods, storage, workloads
from control.schema.columns.column import CREATED_AT, NAME, TableLayout, name_of


def _default_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), obj["metadata"].get("creationTimestamp")]


DEFAULT_LAYOUT = TableLayout(columns=(NAME, CREATED_AT), cells=_default_cells)

LAYOUTS: dict[tuple[str, str], TableLayout] = {
    **pods.LAYOUTS,
    **workloads.LAYOUTS,
    **networking.LAYOUTS,
    **storage.LAYOUTS,
    **cluster.LAYOUTS,
    **extension.LAYOUTS,
    **metrics.LAYOUTS,
}


def layout_of(kind: Kind) -> TableLayout:
    """Return how objects of a built-in kind become rows."""
    return LAYOUTS.get((kind.group, kind.kind), DEFAULT_LAYOUT)
