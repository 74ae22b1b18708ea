"""Selectors of a list or watch, as a scope that an index answers and a predicate for the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control.api.errors import bad_request
from control.api.selectors import FieldRequirement, FieldSelector, LabelSelector
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
    fields = _supported_fields(served, options.fields)
    selected_name = fields.find_exact("metadata.name")
    if name and not fields.is_empty and selected_name != name:
        raise bad_request("fieldSelector metadata.name doesn't match requested name")
    exact_name = name or selected_name or ""
    if exact_name and (namespace or not served.kind.namespaced):
        scope = WatchScope(namespace=namespace, key=served.key(namespace, exact_name))
    else:
        scope = _indexed_scope(served, namespace, fields)
    return Selection(scope, _predicate(served, options.labels, fields))


def _indexed_scope(served: ServedKind, namespace: str, fields: FieldSelector) -> WatchScope:
    for field in served.indexed_fields:
        value = fields.find_exact(field)
        if value is not None:
            return WatchScope(namespace=namespace, indexed=(field, value))
    return WatchScope(namespace=namespace)


def _supported_fields(served: ServedKind, selector: FieldSelector) -> FieldSelector:
    """The selector in terms of the values the kind selects by. Refuses labels that the kind does not have."""
    if selector.is_empty:
        return selector
    labels = served.strategy.field_labels
    known = {"metadata.name": "metadata.name", **labels.own}
    if labels.has_namespace:
        known["metadata.namespace"] = "metadata.namespace"
    requirements = []
    for term in selector.requirements:
        if term.field not in known:
            raise bad_request(_unsupported_text(served, term.field))
        requirements.append(FieldRequirement(known[term.field], term.operator, term.value))
    return FieldSelector(tuple(requirements))


def _unsupported_text(served: ServedKind, label: str) -> str:
    labels = served.strategy.field_labels
    if labels.own or served.is_custom:
        return labels.refusal.format(label)
    listing = ", ".join(f'"{name}"' for name in _METADATA_FIELDS)
    return f'"{label}" is not a known field selector: only {listing}'


def _predicate(
    served: ServedKind, labels: LabelSelector, fields: FieldSelector
) -> Callable[[CachedObject], bool] | None:
    if labels.is_empty and fields.is_empty:
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

    return matches
