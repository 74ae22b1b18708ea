"""What an API object is in this code: a plain JSON dict, camelCase keys, as on the wire.

Objects that come from a cache are shared and read-only; `copy_object` before changing one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Object: TypeAlias = dict[str, Any]
ReadOnlyObject: TypeAlias = Mapping[str, Any]


def copy_object(value: Any) -> Any:
    """Return a deep copy of a JSON value (dicts, lists and scalars only; several times faster than deepcopy)."""
    if isinstance(value, dict):
        return {key: copy_object(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_object(item) for item in value]
    return value
