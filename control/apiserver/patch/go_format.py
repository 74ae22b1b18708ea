"""How Go prints decoded JSON with `%v` and `%T`: some error texts contain it."""

from __future__ import annotations

from typing import Any


def format_go(value: Any) -> str:
    """Format as `%v`: `map[a:1 b:[x y]]`, keys sorted, strings bare."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{format_go(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(format_go, value)) + "]"
    return str(value)


def name_go_type(value: Any) -> str:
    """Name the type as `%T`."""
    if value is None:
        return "<nil>"
    names = {
        bool: "bool",
        str: "string",
        int: "int64",
        float: "float64",
        dict: "map[string]interface {}",
        list: "[]interface {}",
    }
    return names[type(value)]
