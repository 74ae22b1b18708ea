"""`Plugin`, the base of admission plugins, and what they share."""

from __future__ import annotations

from collections.abc import Sequence

from control.api.builtin_kinds import NODES
from control.api.errors import ApiError, forbidden
from control.api.kinds import Kind
from control.api.objects import ReadOnlyObject
from control.apiserver.admission.chain import Attributes, ObjectReader


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


def find_node(reader: ObjectReader, attributes: Attributes, name: str) -> ReadOnlyObject:
    """The node of the Pod that is written. Raises ApiError where there is none of that name."""
    node = reader.find(NODES, None, name)
    if node is None:
        raise refusal(attributes, f'node "{name}" not found')
    return node


def is_write_of(attributes: Attributes, kind: Kind, *operations: str, subresources: Sequence[str] = ("",)) -> bool:
    """Whether this writes an object of that kind by one of the operations: itself, or by one of the subresources."""
    written = attributes.kind
    return (
        written.plural == kind.plural
        and written.group == kind.group
        and attributes.operation in operations
        and attributes.subresource in subresources
        and attributes.object is not None
    )
