"""What storing does to an object of a built-in kind: lists without items become absent.

Upstream stores most kinds as protobuf, which does not know an empty list from none, and answers a write with what it
stored. A client that sends `rules: []` therefore reads `rules: null`, though managedFields says that it set the field.
"""

from __future__ import annotations

from typing import Any

from control.api.objects import Object
from control.schema.structural import Presence, Schema

#: Upstream stores these two groups as JSON, in which an empty list stays one.
GROUPS_STORED_AS_JSON = frozenset({"apiextensions.k8s.io", "apiregistration.k8s.io"})


def forget_empty_lists(obj: Object, schema: Schema) -> None:
    """Replace empty lists by what is printed for a list that was never set: null or nothing. In place."""
    for name, field in schema.properties.items():
        value = obj.get(name)
        if value == [] and field.type == "array":
            if field.presence is Presence.ALWAYS:
                obj[name] = None
            else:
                del obj[name]
        elif value:
            _walk(value, field)


def _walk(value: Any, schema: Schema) -> None:
    if schema.opaque or schema.format:
        return
    if isinstance(value, list):
        if schema.items is not None and schema.items.type in ("object", "array"):
            for item in value:
                _walk(item, schema.items)
    elif isinstance(value, dict):
        if schema.additional is not None:
            for item in value.values():
                _walk(item, schema.additional)
        else:
            forget_empty_lists(value, schema)
