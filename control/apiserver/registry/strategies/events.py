"""The strategy of Events in both groups (upstream: pkg/apis/core/validation/events.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError
from control.api.names import qualified_name_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import IMMUTABLE, Errors, judged
from control.apiserver.registry.strategy import FieldLabels, Strategy, WriteContext

_OBJECT_FIELDS = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_FIXED = (
    "regarding",
    "deprecatedSource",
    "deprecatedFirstTimestamp",
    "reportingController",
    "reportingInstance",
    "action",
    "reason",
    "note",
    "type",
    "eventTime",
)
_NOTE_MAX = 1024
_REASON_MAX = 128


class EventStrategy(Strategy):
    """Rules of Events: the older form is hardly judged, the newer one (with an eventTime) is."""

    has_generation = False
    allow_create_on_update = True
    default_propagation = "unsupported"
    field_labels = FieldLabels.of(
        "reason", "type", "reportingComponent", "source", *(f"involvedObject.{name}" for name in _OBJECT_FIELDS)
    )

    def validate(self, context: WriteContext, obj: Object) -> list[FieldError]:
        """Judge a new Event."""
        errors = list(_namespace(obj))
        if _is_new_form(obj) and obj.get("eventTime"):
            errors.extend(_new_form(obj))
        return errors

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: in the newer form only the series goes on."""
        errors = list(_namespace(obj))
        if _is_new_form(obj) and obj.get("eventTime"):
            for name in _FIXED:
                if obj.get(name) != old.get(name):
                    errors.append(FieldError.invalid(name, obj.get(name), IMMUTABLE))
        return errors

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """Values of the stored form, which is that of the core group."""
        about = obj.get("involvedObject") or {}
        component = obj.get("reportingComponent") or ""
        return {
            "reason": obj.get("reason") or "",
            "type": obj.get("type") or "",
            "reportingComponent": component,
            "source": (obj.get("source") or {}).get("component") or component,
            **{f"involvedObject.{name}": about.get(name) or "" for name in _OBJECT_FIELDS},
        }


class NewEventStrategy(EventStrategy):
    """The same Events under events.k8s.io, where fields have other names."""

    field_labels = FieldLabels(
        own={
            "reason": "reason",
            "type": "type",
            "reportingController": "reportingComponent",
            **{f"regarding.{name}": f"involvedObject.{name}" for name in _OBJECT_FIELDS},
        }
    )


def _is_new_form(obj: Mapping[str, Any]) -> bool:
    return str(obj.get("apiVersion") or "").startswith("events.k8s.io/")


def _namespace(obj: Mapping[str, Any]) -> Errors:
    """Events about cluster-wide objects live in `default`; the others with their object."""
    own = (obj.get("metadata") or {}).get("namespace") or ""
    about = (obj.get("involvedObject") or obj.get("regarding") or {}).get("namespace") or ""
    path = "involvedObject.namespace"
    if not about:
        if own not in ("", "default", "kube-system"):
            yield FieldError.invalid(path, about, "does not match event.namespace")
    elif about != own:
        yield FieldError.invalid(path, about, "does not match event.namespace")


def _new_form(obj: Mapping[str, Any]) -> Errors:
    controller, instance = obj.get("reportingController") or "", obj.get("reportingInstance") or ""
    if not controller:
        yield FieldError.required("reportingController")
    else:
        yield from judged("reportingController", controller, qualified_name_errors)
    if not instance:
        yield FieldError.required("reportingInstance")
    for name, limit in (("action", _REASON_MAX), ("reason", _REASON_MAX)):
        text = obj.get(name) or ""
        if not text:
            yield FieldError.required(name)
        elif len(text) > limit:
            yield FieldError.invalid(name, "", f"can have at most {limit} characters")
    note = obj.get("note") or ""
    if len(note) > _NOTE_MAX:
        yield FieldError.invalid("message", "", f"can have at most {_NOTE_MAX} characters")
    if obj.get("type") not in ("Normal", "Warning"):
        yield FieldError.invalid("type", "", f"has invalid value: {obj.get('type') or ''}")
