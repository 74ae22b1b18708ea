"""The rules of managedFields that clients can break by writing it: names of managers and of subresources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control.api.errors import FieldError

FIELD_MANAGER_BYTES_MAX = 128
SUBRESOURCE_BYTES_MAX = 256


def field_manager_errors(path: str, manager: str) -> list[FieldError]:
    """Judge the name of a field manager."""
    errors = []
    if len(manager.encode("utf-8", "surrogatepass")) > FIELD_MANAGER_BYTES_MAX:
        errors.append(FieldError.too_long(path, FIELD_MANAGER_BYTES_MAX))
    if manager.isprintable():
        return errors
    position = 0
    for char in manager:
        if not char.isprintable():
            detail = f"invalid character U+{ord(char):04X} (at position {position})"
            errors.append(FieldError.invalid(path, manager, detail))
        position += len(char.encode("utf-8", "surrogatepass"))
    return errors


def managed_fields_errors(path: str, entries: Sequence[Mapping[str, Any]]) -> list[FieldError]:
    """Judge managedFields. Entries that cannot be read are not here any more: they were forgotten before."""
    errors = []
    for index, entry in enumerate(entries):
        errors += field_manager_errors(f"{path}[{index}].manager", entry.get("manager") or "")
        if len((entry.get("subresource") or "").encode("utf-8", "surrogatepass")) > SUBRESOURCE_BYTES_MAX:
            errors.append(FieldError.too_long(f"{path}[{index}].subresource", SUBRESOURCE_BYTES_MAX))
    return errors
