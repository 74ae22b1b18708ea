"""An object reader over plain objects, for tests of authentication and authorization."""

from __future__ import annotations

from collections.abc import Iterable

from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject


class ListReader:
    """Shows the objects it holds; `objects` may be changed between questions."""

    def __init__(self, objects: Iterable[tuple[Kind, Object]] = ()) -> None:
        self.objects = list(objects)

    def add(self, kind: Kind, name: str, namespace: str = "", **fields: object) -> Object:
        metadata: Object = {"name": name, "uid": f"{kind.plural}-{name}"}
        if namespace:
            metadata["namespace"] = namespace
        obj: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}
        self.objects.append((kind, obj))
        return obj

    def find(self, kind: Kind, namespace: str | None, name: str) -> ReadOnlyObject | None:
        return next((obj for obj in self.list(kind, namespace) if obj["metadata"]["name"] == name), None)

    def list(self, kind: Kind, namespace: str | None = None) -> list[ReadOnlyObject]:
        return [
            obj
            for held, obj in self.objects
            if held is kind and (not namespace or obj["metadata"].get("namespace") == namespace)
        ]
