"""`Store`: the objects of one kind by key, with indexes. An informer fills it; everyone else reads.

Objects in it are shared by the whole process and read-only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from control.api.meta import controller_of, object_key
from control.api.objects import Object

# Named here because inside the class `list` is a method.
Objects: TypeAlias = list[Object]
IndexFunction = Callable[[Object], Iterable[str]]

BY_NAMESPACE = "namespace"
BY_OWNER = "owner"
UNCONTROLLED = "uncontrolled"


def _namespaces(obj: Object) -> Iterable[str]:
    namespace = obj["metadata"].get("namespace")
    return (namespace,) if namespace else ()


def _owner_uids(obj: Object) -> Iterable[str]:
    return (reference.get("uid", "") for reference in obj["metadata"].get("ownerReferences") or ())


def _namespaces_if_uncontrolled(obj: Object) -> Iterable[str]:
    return _namespaces(obj) if controller_of(obj) is None else ()


class Store:
    """A keyed collection.

    Always there: the indexes `BY_NAMESPACE`, `BY_OWNER` (owner uid) and `UNCONTROLLED` (namespace, of the objects that
    no controller owns).
    """

    def __init__(self, objects: Iterable[Object] = ()) -> None:
        self._objects: dict[str, Object] = {}
        self._functions: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[str, dict[str, Object]]] = {}
        self.add_index(BY_NAMESPACE, _namespaces)
        self.add_index(BY_OWNER, _owner_uids)
        self.add_index(UNCONTROLLED, _namespaces_if_uncontrolled)
        for obj in objects:
            self.put(obj)

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._objects.values()))

    def __contains__(self, key: str) -> bool:
        return key in self._objects

    def keys(self) -> set[str]:
        """All keys, as a snapshot."""
        return set(self._objects)

    def find(self, key: str) -> Object | None:
        """Return the object of that key (`namespace/name` or `name`), or None."""
        return self._objects.get(key)

    def list(self, namespace: str | None = None) -> Objects:
        """Return all objects, or those of one namespace."""
        if namespace is None:
            return [*self._objects.values()]
        return self.by_index(BY_NAMESPACE, namespace)

    def by_index(self, name: str, value: str) -> Objects:
        """Return the objects for which the index function gave that value."""
        return [*self._indexes[name].get(value, {}).values()]

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Add an index under a name; adding one that exists keeps the first."""
        if name in self._functions:
            return
        self._functions[name] = function
        self._indexes[name] = {}
        for key, obj in self._objects.items():
            self._index(name, key, obj)

    def put(self, obj: Object) -> Object | None:
        """Add or replace an object; returns the one it replaced."""
        key = object_key(obj)
        old = self.remove(key)
        self._objects[key] = obj
        for name in self._functions:
            self._index(name, key, obj)
        return old

    def remove(self, key: str) -> Object | None:
        """Forget an object; returns it."""
        old = self._objects.pop(key, None)
        if old is None:
            return None
        for name, function in self._functions.items():
            index = self._indexes[name]
            for value in function(old):
                entries = index.get(value)
                if entries is not None:
                    entries.pop(key, None)
                    if not entries:
                        del index[value]
        return old

    def _index(self, name: str, key: str, obj: Object) -> None:
        index = self._indexes[name]
        for value in self._functions[name](obj):
            index.setdefault(value, {})[key] = obj
