"""metav1.Table: what `kubectl get` asks for and prints."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache

from control.api.errors import bad_request
from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject
from control.schema.builtin import load_definitions
from control.schema.columns import DEFAULT_LAYOUT, LAYOUTS, layout_of
from control.schema.columns.column import Column, TableLayout
from control.schema.partial_metadata import metadata_only

_DEFINITION_PREFIXES = {"meta": "io.k8s.apimachinery.pkg.apis."}


def make_table(
    kind: Kind,
    objects: Iterable[ReadOnlyObject],
    *,
    now: datetime,
    include_object: str = "Metadata",
    version: str = "v1",
    list_metadata: Object | None = None,
    with_headers: bool = True,
    layout: TableLayout | None = None,
) -> Object:
    """Make a Table of objects of one kind.

    `include_object` is None, Metadata or Object: what each row carries beside its cells. A watch leaves the headers
    out after its first event. `layout` replaces the columns of the kind (custom resources bring their own).
    """
    chosen = layout or layout_of(kind)
    rows = [_make_row(chosen, obj, now, include_object or "Metadata", version) for obj in objects]
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": list_metadata if list_metadata is not None else {},
        "columnDefinitions": [_definition_of(column) for column in chosen.columns] if with_headers else None,
        "rows": rows,
    }


def _make_row(layout: TableLayout, obj: ReadOnlyObject, now: datetime, include_object: str, version: str) -> Object:
    row: Object = {"cells": layout.cells(obj, now)}
    conditions = layout.conditions(obj) if layout.conditions else []
    if conditions:
        row["conditions"] = conditions
    match include_object:
        case "None":
            row["object"] = None
        case "Object":
            row["object"] = obj
        case "Metadata":
            row["object"] = metadata_only(obj, version)
        case _:
            raise bad_request(
                f'Unable to convert to Table as requested: includeObject: Invalid value: "{include_object}": '
                "must be 'Metadata', 'Object', 'None', or empty"
            )
    return row


def _definition_of(column: Column) -> Object:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description or (_descriptions()[column.source] if column.source else ""),
        "priority": column.priority,
    }


@cache
def _descriptions() -> dict[str, str]:
    """Descriptions of all fields that columns name, read once when the first table is made."""
    definitions = load_definitions()
    sources = {column.source for layout in (*LAYOUTS.values(), DEFAULT_LAYOUT) for column in layout.columns}
    result = {}
    for source in sources - {""}:
        definition, _, field = source.rpartition(".")
        prefix = _DEFINITION_PREFIXES.get(source.partition(".")[0], "io.k8s.api.")
        result[source] = definitions[prefix + definition]["properties"][field].get("description", "")
    return result
