"""Kinds whose generation counts more than changes of their spec."""

from __future__ import annotations

from control.api.objects import Object


def changed_metadata(obj: Object, old: Object, *fields: str) -> bool:
    """Whether one of these fields of the metadata changed."""
    new_metadata, old_metadata = obj["metadata"], old["metadata"]
    return any((new_metadata.get(field) or {}) != (old_metadata.get(field) or {}) for field in fields)


def bump_generation(obj: Object, old: Object) -> None:
    """One more than the old object has; the engine then leaves the generation alone."""
    obj["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1
