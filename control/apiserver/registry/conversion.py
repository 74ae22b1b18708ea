"""Kinds that are served in several forms and kept in one: Events and HorizontalPodAutoscalers.

A `Conversion` turns an object of a served version into the stored version and back. Most kinds have none: their
cached bytes are sent as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control.api.builtin_kinds import EVENTS, HORIZONTAL_POD_AUTOSCALERS
from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject
from control.apiserver.registry.autoscaler_conversion import autoscaler_from_v2, autoscaler_to_v2
from control.schema.builtin import schema_of
from control.schema.structural import Schema

_EVENT_FIELDS = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)


@dataclass(frozen=True, slots=True)
class Conversion:
    """Both directions return a new object that may share parts of the given one."""

    to_stored: Callable[[ReadOnlyObject], Object]
    from_stored: Callable[[ReadOnlyObject], Object]
    stored_kind: Kind

    def stored_schema(self) -> Schema:
        """The schema of the stored version."""
        return schema_of(self.stored_kind)


def _rename(obj: ReadOnlyObject, names: dict[str, str], api_version: str) -> Object:
    renamed = {names.get(name, name): value for name, value in obj.items()}
    renamed["apiVersion"] = api_version
    return renamed


def _event_to_core(obj: ReadOnlyObject) -> Object:
    return _rename(obj, {new: old for old, new in _EVENT_FIELDS}, "v1")


def _event_from_core(obj: ReadOnlyObject) -> Object:
    return _rename(obj, dict(_EVENT_FIELDS), "events.k8s.io/v1")


_CONVERSIONS = {
    ("events.k8s.io", "v1", "events"): Conversion(_event_to_core, _event_from_core, EVENTS),
    ("autoscaling", "v1", "horizontalpodautoscalers"): Conversion(
        autoscaler_to_v2, autoscaler_from_v2, HORIZONTAL_POD_AUTOSCALERS
    ),
}


def conversion_of(kind: Kind) -> Conversion | None:
    """Return how a kind is converted, None if it is stored as it is served."""
    return _CONVERSIONS.get((kind.group, kind.version, kind.plural))
