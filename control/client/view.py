"""`View`: what a `reconcile` may look at: stores of several kinds. Tests build one from plain objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from control.api.kinds import Kind
from control.api.objects import Object
from control.client.store import BY_OWNER, UNCONTROLLED, Store


class View:
    """Read access to stores by kind. Objects are shared and read-only."""

    def __init__(self, stores: Mapping[Kind, Store]) -> None:
        self._stores = {_name(kind): store for kind, store in stores.items()}

    @classmethod
    def of(cls, objects: Mapping[Kind, Iterable[Object]]) -> View:
        """Build a view of given objects."""
        return cls({kind: Store(items) for kind, items in objects.items()})

    def store(self, kind: Kind) -> Store:
        """Return the store of a kind the controller declared. Raises KeyError for any other."""
        return self._stores[_name(kind)]

    def find(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """Return an object, or None."""
        return self.store(kind).find(f"{namespace}/{name}" if namespace else name)

    def find_key(self, kind: Kind, key: str) -> Object | None:
        """Return the object of a work queue's key, or None."""
        return self.store(kind).find(key)

    def list(self, kind: Kind, namespace: str | None = None) -> Iterable[Object]:
        """Return all objects of a kind, or those of one namespace."""
        return self.store(kind).list(namespace)

    def owned_by(self, kind: Kind, uid: str) -> Iterable[Object]:
        """Return the objects of a kind with an owner reference to that uid."""
        return self.store(kind).by_index(BY_OWNER, uid)

    def uncontrolled(self, kind: Kind, namespace: str) -> Iterable[Object]:
        """Return the objects of a namespace that no controller owns: candidates for adoption."""
        return self.store(kind).by_index(UNCONTROLLED, namespace)


def _name(kind: Kind) -> tuple[str, str]:
    return (kind.group, kind.plural)
