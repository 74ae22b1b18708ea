"""Selectors of a list or watch, as a scope that an index answers and a predicate for the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control.api.errors import bad_request
from control.api.selectors import (
    FieldSelector,
    LabelSelector,
    SelectorError,
    parse_field_selector,
    parse_label_selector,
)
from control.apiserver.cache.encoding import CachedObject
from control.apiserver.cache.watcher import WatchScope
from control.apiserver.options import ListOptions
from control.apiserver.registry.served_kind import ServedKind

_METADATA_FIELDS = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list or watch is about. `matches` is None if the scope says it all."""

    scope: WatchScope
    matches: Callable[[CachedObject], bool] | None

    def filter(self, objects: list[CachedObject]) -> list[CachedObject]:
        """Keep what matches."""
        return objects if self.matches is None else [item for item in objects if self.matches(item)]


def select(served: ServedKind, namespace: str, name: str, options: ListOptions) -> Selection:
    """Make a selection of the parameters of a request; `name` is that of a watch of one object."""
    labels = _parse_labels(options.label_selector)
    fields = _parse_fields(served, options.field_selector)
    exact_name = name or fields.find_exact("metadata.name") or ""
    scope = WatchScope(namespace=namespace)
    if exact_name and (namespace or not served.kind.namespaced):
        scope = WatchScope(namespace=namespace, key=served.key(namespace, exact_name))
    else:
        scope = _indexed_scope(served, namespace, fields)
    return Selection(scope, _predicate(served, labels, fields, name))


def _indexed_scope(served: ServedKind, namespace: str, fields: FieldSelector) -> WatchScope:
    for field in served.indexed_fields:
        value = fields.find_exact(field)
        if value is not None:
            return WatchScope(namespace=namespace, index=(field, value))
    return WatchScope(namespace=namespace)


def _parse_labels(text: str) -> LabelSelector:
    try:
        return parse_label_selector(text)
    except SelectorError as error:
        raise bad_request(str(error)) from error


def _parse_fields(served: ServedKind, text: str) -> FieldSelector:
    if not text:
        return FieldSelector()
    try:
        selector = parse_field_selector(text)
    except SelectorError as error:
        raise bad_request(str(error)) from error
    own_names = served.strategy.selectable_field_names()
    for requirement in selector.requirements:
        field = requirement.field
        if field in _METADATA_FIELDS or field in own_names:
            continue
        if own_names or served.is_custom:
            raise bad_request(f"field label not supported: {field}")
        listing = ", ".join(f'"{name}"' for name in _METADATA_FIELDS)
        raise bad_request(f'"{field}" is not a known field selector: only {listing}')
    return selector


def _predicate(
    served: ServedKind, labels: LabelSelector, fields: FieldSelector, name: str
) -> Callable[[CachedObject], bool] | None:
    if labels.is_empty and fields.is_empty and not name:
        return None
    reads_own_fields = any(term.field not in _METADATA_FIELDS for term in fields.requirements)

    def matches(cached: CachedObject) -> bool:
        obj = cached.object
        metadata = obj["metadata"]
        if not labels.matches(metadata.get("labels")):
            return False
        if fields.is_empty:
            return True
        known = {
            "metadata.name": metadata["name"],
            "metadata.namespace": metadata.get("namespace", ""),
        }
        if reads_own_fields:
            known.update(served.strategy.selectable_fields(obj))
        return fields.matches(known)

    return None if labels.is_empty and fields.is_empty else matches
