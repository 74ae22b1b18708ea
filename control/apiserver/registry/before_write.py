"""What the rules of a kind do to an object before it is stored: the hooks of its strategy, in upstream's order.

Pure but for the warnings it passes on. Upstream: rest.BeforeCreate and rest.BeforeUpdate of k8s.io/apiserver.
"""

from __future__ import annotations

from control.api.errors import FieldError, invalid
from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject
from control.apiserver.registry import metadata as rules
from control.apiserver.registry.served_kind import ServedKind
from control.apiserver.registry.write_request import WriteRequest

_NOT_SPEC = frozenset({"kind", "apiVersion", "metadata", "status"})


def before_create(served: ServedKind, write: WriteRequest, obj: Object) -> None:
    """Prepare and judge a new object of the stored version. Raises 422."""
    strategy, context = served.strategy, write.for_strategy()
    if strategy.has_generation:
        obj["metadata"]["generation"] = 1
    strategy.prepare_for_create(context, obj)
    errors = rules.validate_new_metadata(served.kind, strategy, obj)
    errors += strategy.validate(context, obj)
    _refuse_invalid(served.kind, obj, errors)
    for text in strategy.warnings_on_create(context, obj):
        write.warn(text)


def before_update(served: ServedKind, write: WriteRequest, obj: Object, old: Object, *, is_status: bool) -> None:
    """Prepare and judge a changed object of the stored version, by the hooks of its status if it is a write of that.

    Raises 422.
    """
    strategy, context = served.strategy, write.for_strategy()
    rules.keep_server_fields(obj, old)
    if is_status:
        strategy.prepare_for_status_update(context, obj, old)
        rules.keep_metadata(obj, old, strategy.kept_by_status)
    else:
        strategy.prepare_for_update(context, obj, old)
        if strategy.has_generation and _spec_changed(obj, old):
            _count_generation(obj["metadata"], old["metadata"])
    errors = rules.validate_changed_metadata(served.kind, obj, old)
    judge = strategy.validate_status_update if is_status else strategy.validate_update
    errors += judge(context, obj, old)
    _refuse_invalid(served.kind, obj, errors)
    warnings = strategy.warnings_on_status_update if is_status else strategy.warnings_on_update
    for text in warnings(context, obj, old):
        write.warn(text)


def _spec_changed(obj: ReadOnlyObject, old: ReadOnlyObject) -> bool:
    return any(obj.get(key) != old.get(key) for key in obj.keys() | old.keys() if key not in _NOT_SPEC)


def _count_generation(metadata: Object, old: ReadOnlyObject) -> None:
    """One more, unless the strategy has counted already."""
    if metadata.get("generation") == old.get("generation"):
        metadata["generation"] = (metadata.get("generation") or 0) + 1


def _refuse_invalid(kind: Kind, obj: ReadOnlyObject, errors: list[FieldError]) -> None:
    if errors:
        raise invalid(kind.group, kind.kind, obj["metadata"].get("name") or "", errors)
