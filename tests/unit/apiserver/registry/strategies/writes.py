"""Runs a body through a kind's strategy as the write path does: decode, default, prepare, validate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from control.api.builtin_kinds import BUILTIN_KINDS
from control.api.errors import FieldError
from control.api.exchange import User
from control.api.kinds import Kind
from control.api.objects import Object, copy_object
from control.apiserver.registry.strategies import strategy_for
from control.apiserver.registry.strategy import WriteContext
from control.schema.builtin import schema_of
from control.schema.validate import decode_object

CONTEXT = WriteContext(
    user=User(name="tester", groups=("system:authenticated",)), now=datetime(2026, 1, 1, tzinfo=UTC), namespace="ns"
)


def kind_named(group: str, version: str, plural: str) -> Kind | None:
    """The built-in kind of a URL."""
    return next((k for k in BUILTIN_KINDS if (k.group, k.version, k.plural) == (group, version, plural)), None)


def served_kind(group: str, plural: str, version: str = "v1") -> Kind:
    """The same, of which there must be one."""
    kind = kind_named(group, version, plural)
    assert kind is not None
    return kind


def created(kind: Kind, body: Object) -> tuple[Object, list[FieldError]]:
    """The object as it would be stored, and the causes for which it would not."""
    strategy = strategy_for(kind)
    obj = decode_object(copy_object(body), schema_of(kind), kind=kind).object
    metadata = obj.setdefault("metadata", {})
    metadata.setdefault("uid", "u-1")
    if kind.namespaced:
        metadata.setdefault("namespace", CONTEXT.namespace)
    strategy.default(obj)
    strategy.prepare_for_create(CONTEXT, obj)
    return obj, strategy.validate(CONTEXT, obj)


def updated(kind: Kind, old: Object, body: Object) -> list[FieldError]:
    """The causes for which a stored object may not become the body."""
    strategy = strategy_for(kind)
    obj = decode_object(copy_object(body), schema_of(kind), kind=kind).object
    strategy.default(obj)
    strategy.prepare_for_update(CONTEXT, obj, old)
    return strategy.validate_update(CONTEXT, obj, old)


def texts(errors: list[FieldError]) -> list[str]:
    """`field: message` of every cause."""
    return [str(error) for error in errors]


def change(body: Object, path: str, value: Any) -> Object:
    """A copy of the body with one value set (`spec.containers.0.name`); REMOVED takes it away."""
    changed: Object = copy_object(body)
    target: Any = changed
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        target = target.setdefault(part, {}) if isinstance(part, str) else target[part]
    if value is REMOVED:
        del target[last]
    else:
        target[last] = value
    return changed


REMOVED = object()
