"""Rules of conditions of the common form, metav1.Condition (upstream: ValidateConditions)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from control.api.errors import FieldError
from control.apiserver.registry.strategies.field_rules import Errors, one_of, qualified_name

_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_BAD_REASON = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
    "'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is "
    "'[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"
)
_REASON_MAX = 1024
_MESSAGE_MAX = 32 * 1024


def conditions(path: str, items: Sequence[Mapping[str, Any]] | None) -> Errors:
    """A list of conditions, each type at most once."""
    seen: set[str] = set()
    for index, item in enumerate(items or ()):
        kind = item.get("type") or ""
        if kind in seen:
            yield FieldError.duplicate(f"{path}[{index}].type", kind)
        seen.add(kind)
        yield from _condition(f"{path}[{index}]", item)


def _condition(path: str, item: Mapping[str, Any]) -> Errors:
    yield from qualified_name(f"{path}.type", item.get("type") or "")
    yield from one_of(f"{path}.status", item.get("status") or "", ("False", "True", "Unknown"))
    if (item.get("observedGeneration") or 0) < 0:
        detail = "must be greater than or equal to zero"
        yield FieldError.invalid(f"{path}.observedGeneration", item["observedGeneration"], detail)
    if not item.get("lastTransitionTime"):
        yield FieldError.required(f"{path}.lastTransitionTime", "must be set")
    reason = item.get("reason") or ""
    if not reason:
        yield FieldError.required(f"{path}.reason", "must be set")
    else:
        if not _REASON.fullmatch(reason):
            yield FieldError.invalid(f"{path}.reason", reason, _BAD_REASON)
        if len(reason) > _REASON_MAX:
            yield FieldError.too_long(f"{path}.reason", _REASON_MAX)
    if len(item.get("message") or "") > _MESSAGE_MAX:
        yield FieldError.too_long(f"{path}.message", _MESSAGE_MAX)
