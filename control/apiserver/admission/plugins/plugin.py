"""`Plugin`, the base of admission plugins, and what they share."""

from __future__ import annotations

from control.api.errors import ApiError, forbidden
from control.api.kinds import Kind
from control.apiserver.admission.chain import Attributes


class Plugin:
    """An admission plugin with upstream's name. Each has the hooks it needs: `admit`, `validate` or both."""

    name = ""


def refusal(attributes: Attributes, detail: str) -> ApiError:
    """403 about the object of the write; one without a name yet is called by the prefix of its name."""
    name = attributes.name
    if not name and attributes.object is not None:
        metadata = attributes.object.get("metadata") or {}
        name = metadata.get("name") or metadata.get("generateName") or ""
    return forbidden(attributes.kind.group, attributes.kind.plural, name or "Unknown", detail)


def is_write_of(attributes: Attributes, kind: Kind, *operations: str) -> bool:
    """Whether this writes an object of that kind itself (no subresource) by one of the operations."""
    written = attributes.kind
    return (
        written.plural == kind.plural
        and written.group == kind.group
        and attributes.operation in operations
        and not attributes.subresource
        and attributes.object is not None
    )
