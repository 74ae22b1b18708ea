"""Everything that was ever committed, as the disk saw it: the truth that clients and engines are compared with."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson

from control.api.builtin_kinds import BUILTIN_KINDS, NODES, PODS, REPLICA_SETS
from control.api.kinds import Kind
from control.api.objects import Object
from control.storage.memory import MemoryStorage
from control.storage.protocol import Change, ChangeType

#: The kinds whose content properties are about.
_DECODED = (PODS.storage_prefix, NODES.storage_prefix, REPLICA_SETS.storage_prefix)


@dataclass(frozen=True, slots=True)
class Commit:
    """One write. `obj` is its content and `previous` what it replaced, for the kinds that are decoded."""

    revision: int
    key: str
    type: ChangeType
    obj: Object | None
    previous: Object | None


CommitHandler = Callable[[Commit], None]


class History:
    """The commits of all kinds, in order."""

    def __init__(self, storage: MemoryStorage) -> None:
        self.handlers: list[CommitHandler] = []
        self._storage = storage
        self._commits: dict[str, list[Commit]] = {}
        self._revisions: dict[str, list[int]] = {}
        self._of_key: dict[str, list[int]] = {}
        self._current: dict[str, Object] = {}
        self._pods: dict[str, Object] = {}
        storage.subscribe(self._record)

    @property
    def revision(self) -> int:
        """The newest revision."""
        return self._storage.revision

    def after(self, prefix: str, revision: int) -> Iterator[Commit]:
        """The commits under a prefix after a revision."""
        commits = self._commits.get(prefix, [])
        for position in range(bisect_right(self._revisions.get(prefix, []), revision), len(commits)):
            yield commits[position]

    def latest(self, key: str) -> int:
        """The revision of a key's last write; 0 if there was none."""
        revisions = self._of_key.get(key)
        return revisions[-1] if revisions else 0

    def was_written(self, key: str, revision: int) -> bool:
        """Whether a key was written at exactly that revision."""
        return revision in self._of_key.get(key, ())

    def current(self, kind: Kind) -> list[Object]:
        """The present objects of a decoded kind."""
        return [obj for key, obj in self._current.items() if key.startswith(kind.storage_prefix)]

    def find(self, kind: Kind, path: str) -> Object | None:
        """A present object of a decoded kind by `namespace/name` or name."""
        return self._current.get(kind.storage_prefix + path)

    def pod(self, uid: str) -> Object | None:
        """The last content of a Pod that exists or has existed."""
        return self._pods.get(uid)

    def _record(self, changes: list[Change]) -> None:
        for change in changes:
            prefix = change.key[: change.key.index("/", change.key.index("/", 1) + 1) + 1]
            obj = orjson.loads(change.value) if prefix in _DECODED else None
            commit = Commit(change.revision, change.key, change.type, obj, self._current.get(change.key))
            self._commits.setdefault(prefix, []).append(commit)
            self._revisions.setdefault(prefix, []).append(change.revision)
            self._of_key.setdefault(change.key, []).append(change.revision)
            if obj is not None:
                self._current[change.key] = obj
                if prefix == PODS.storage_prefix:
                    self._pods[obj["metadata"]["uid"]] = obj
                if change.type is ChangeType.DELETED:
                    del self._current[change.key]
            for handler in self.handlers:
                handler(commit)


_KIND_OF_PATH = {kind.path(): kind for kind in BUILTIN_KINDS}


def kind_of_collection(path: str) -> Kind | None:
    """The kind of a collection's path of all namespaces."""
    return _KIND_OF_PATH.get(path)


def split_path(path: str) -> tuple[Kind | None, str, str]:
    """Kind, key in the store (empty for a collection) and subresource of a path."""
    parts = path.strip("/").split("/")
    root = parts[: 2 if parts[0] == "api" else 3]
    rest = parts[len(root) :]
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    kind = _KIND_OF_PATH.get("/" + "/".join([*root, *rest[:1]]))
    if kind is None or len(rest) < 2:
        return kind, "", ""
    name = f"{namespace}/{rest[1]}" if namespace else rest[1]
    return kind, kind.storage_prefix + name, rest[2] if len(rest) > 2 else ""
