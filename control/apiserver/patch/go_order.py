"""The order in which upstream writes a patched document into an error message.

The document was printed from typed records before it was patched, so fields follow their declaration; the objects a
patch reaches into went through Go maps, which are printed sorted.
"""

from __future__ import annotations

from typing import Any

from control.api.objects import Object
from control.schema.go_fields import field_facts
from control.schema.structural import Schema


def touched_by(patch_value: Any) -> Any:
    """What a JSON patch or merge patch reaches into, as nested dicts."""
    if not isinstance(patch_value, list):
        return patch_value
    tree: Object = {}
    for step in patch_value:
        node = tree
        for part in str(step.get("path", "")).split("/")[1:-1]:
            node = node.setdefault(part, {})
    return tree


def in_go_order(document: Any, schema: Schema | None, touched: Any) -> Any:
    """The document with its fields in upstream's order. Values that a patch put there keep theirs."""
    if schema is None or schema.opaque:
        return document
    if isinstance(document, list):
        given = touched if isinstance(touched, dict) else {}
        return [in_go_order(item, schema.items, given.get(str(index))) for index, item in enumerate(document)]
    if not isinstance(document, dict):
        return document
    given = touched if isinstance(touched, dict) else {}
    names = sorted(document) if isinstance(touched, dict) else _declared_order(document, schema)
    return {name: in_go_order(document[name], _child(schema, name), given.get(name)) for name in names}


def _child(schema: Schema, name: str) -> Schema | None:
    return schema.additional if schema.additional is not None else schema.properties.get(name)


def _declared_order(document: Object, schema: Schema) -> list[str]:
    if schema.additional is not None:
        return sorted(document)
    declared = [name for name in field_facts(schema.definition) if name in document]
    known = set(declared)
    return declared + [name for name in document if name not in known]
