"""Facts about fields of built-in kinds that their OpenAPI definitions do not tell.

Whether an empty value is printed, the type name in decoding errors and the field number in protobuf follow from
upstream's Go records. The table `go_fields.json` is made by `scripts/generate_go_fields.py`, which explains its form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from control.schema.structural import Presence

TABLE_PATH = Path(__file__).with_name("go_fields.json")
_PRESENCES = {
    "p": Presence.OPTIONAL,
    "e": Presence.OMIT_EMPTY,
    "z": Presence.OMIT_ZERO,
    "a": Presence.ALWAYS,
    "n": Presence.NULLABLE,
}


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """Facts about one field. `number` is 0 for a field that has none of its own in protobuf."""

    presence: Presence
    number: int = 0
    go_type: str = ""

    @property
    def items(self) -> FieldFacts:
        """Facts about the elements of a list or map."""
        element = self.go_type.removeprefix("[]") if self.go_type.startswith("[]") else ""
        if self.go_type.startswith("map["):
            element = self.go_type.partition("]")[2]
        return FieldFacts(Presence.OPTIONAL, go_type=element)


def field_facts(definition: str) -> Mapping[str, FieldFacts]:
    """Return the facts about the fields of a definition by their JSON names; empty if nothing is known."""
    entries = _table().get(definition, {})
    return {name: _parse(text) for name, text in entries.items() if name}


def embedded_messages(definition: str) -> Mapping[int, str]:
    """Return the definitions that protobuf nests in this one and JSON does not, by field number."""
    return {int(number): name for number, name in _table().get(definition, {}).get("", {}).items()}


def _parse(text: str) -> FieldFacts:
    number, presence, *go_type = text.split(" ", 2)
    return FieldFacts(_PRESENCES[presence], int(number), go_type[0] if go_type else "")


@cache
def _table() -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = orjson.loads(TABLE_PATH.read_bytes())
    return table
