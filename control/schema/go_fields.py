"""Facts about fields of built-in kinds that their OpenAPI definitions do not tell.

Whether an empty value is printed, and the type name in decoding errors, follow from upstream's Go records. The table
`go_fields.json` is made by `scripts/generate_go_fields.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from control.schema.structural import Presence


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """Facts about one field; `items` is for the elements of a list or map."""

    presence: Presence
    go_type: str = ""
    items: FieldFacts | None = None


def field_facts(definition: str) -> Mapping[str, FieldFacts]:
    """Return the facts about the fields of a definition by their JSON names; empty if nothing is known."""
    return {}
