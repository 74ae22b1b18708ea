"""The strategy of Events in both groups (upstream: pkg/apis/core/validation/events.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control.api.errors import FieldError
from control.api.names import qualified_name_errors
from control.api.objects import Object
from control.apiserver.registry.strategies.field_rules import IMMUTABLE, Errors, is_empty, judged
from control.apiserver.registry.strategies.internal_form import internal_form
from control.apiserver.registry.strategy import FieldLabels, Strategy, WriteContext

_OBJECT_FIELDS = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
#: the names of both groups, and the Go type where the value is a struct; in the order in which changes are told
_FIXED = (
    ("involvedObject", "regarding", "ObjectReference"),
    ("reason", "reason", ""),
    ("message", "note", ""),
    ("source", "deprecatedSource", "EventSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp", ""),
    ("lastTimestamp", "deprecatedLastTimestamp", ""),
    ("count", "deprecatedCount", ""),
    ("reason", "reason", ""),
    ("type", "type", ""),
    ("eventTime", "eventTime", ""),
    ("action", "action", ""),
    ("related", "related", "ObjectReference"),
    ("reportingController", "reportingComponent", ""),
    ("reportingInstance", "reportingInstance", ""),
)
_NAMES = dict(pair for core, new, _ in _FIXED for pair in ((core, new), (new, core)))
_NOTE_MAX = 1024
_TEXT_MAX = 128


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
        errors = list(_either_form(obj))
        return errors + list(_new_form(obj)) if _is_new_form(obj) else errors

    def validate_update(self, context: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """Judge a change: in the newer form only the series goes on."""
        errors = list(_either_form(obj))
        if not _is_new_form(obj):
            return errors
        if obj.get("series") != old.get("series"):
            errors.extend(_series(obj))
        for name, _, go_type in _FIXED:
            value, previous = _value(obj, name), _value(old, name)
            if value != previous and not (is_empty(value) and is_empty(previous)):
                shown = internal_form(go_type, value) if go_type and value else value
                errors.append(FieldError.invalid(name, shown, IMMUTABLE))
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


def _value(obj: Mapping[str, Any], name: str) -> Any:
    """A field under the name it has in either group."""
    value = obj.get(name)
    return obj.get(_NAMES.get(name, name)) if value is None else value


def _either_form(obj: Mapping[str, Any]) -> Errors:
    """Events about cluster-wide objects live in `default`; one with an eventTime says who reports what."""
    own = (obj.get("metadata") or {}).get("namespace") or ""
    about = (_value(obj, "involvedObject") or {}).get("namespace") or ""
    is_dated = bool(obj.get("eventTime"))
    homes = ("default", "kube-system") if is_dated else ("", "default")
    if (not about and own not in homes) or (about and about != own and not is_dated):
        yield FieldError.invalid("involvedObject.namespace", about, "does not match event.namespace")
    if is_dated:
        yield from _report(obj)


def _report(obj: Mapping[str, Any]) -> Errors:
    path = "reportingController" if _is_new_form(obj) else "reportingComponent"
    controller = _value(obj, "reportingController") or ""
    if not controller:
        yield FieldError.required(path)
    yield from judged(path, controller, qualified_name_errors)
    for name in ("reportingInstance", "action", "reason"):
        text = obj.get(name) or ""
        if not text:
            yield FieldError.required(name)
        if len(text) > _TEXT_MAX:
            yield FieldError.invalid(name, "", f"can have at most {_TEXT_MAX} characters")
    if len(_value(obj, "message") or "") > _NOTE_MAX:
        yield FieldError.invalid("message", "", f"can have at most {_NOTE_MAX} characters")


def _series(obj: Mapping[str, Any]) -> Errors:
    series = obj.get("series")
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        yield FieldError.invalid("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        yield FieldError.required("series.lastObservedTime")


def _new_form(obj: Mapping[str, Any]) -> Errors:
    yield from _series(obj)
    if not obj.get("eventTime"):
        yield FieldError.required("eventTime")
    if obj.get("type") not in ("Normal", "Warning"):
        yield FieldError.invalid("type", "", f"has invalid value: {obj.get('type') or ''}")
    for name in ("firstTimestamp", "lastTimestamp", "count"):
        if _value(obj, name):
            yield FieldError.invalid(name, "", "needs to be unset")
    source = _value(obj, "source") or {}
    if source.get("component") or source.get("host"):
        yield FieldError.invalid("source", "", "needs to be unset")
