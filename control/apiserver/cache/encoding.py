"""Stored form of an object, and `CachedObject`: an object at a revision, encoded once.

The store assigns the revision, so stored bytes cannot contain it. `encode_for_storage` writes JSON that begins with
kind, apiVersion and metadata, and metadata begins with name, generateName, namespace, uid and an empty
resourceVersion: upstream's order. All before the hole are plain strings, in which JSON escapes quotes, so the first
`"resourceVersion":""` is the hole, whatever labels or data say. Publishing puts the revision between its quotes, and
a list item (which upstream writes without kind and apiVersion) is the text from `"metadata":` on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from control.api.objects import Object

_LEADING_METADATA = ("name", "generateName", "namespace", "uid")
_HOLE = b'"resourceVersion":"'
_METADATA = b'"metadata":'


def encode_for_storage(obj: Object) -> bytes:
    """Encode an object for the store. A resourceVersion in it is left out; the given object is not changed."""
    given: Any = obj.get("metadata") or {}
    metadata: Object = {field: given[field] for field in _LEADING_METADATA if field in given}
    metadata["resourceVersion"] = ""
    for field, value in given.items():
        if field not in metadata:
            metadata[field] = value
    ordered: Object = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": metadata}
    for field, value in obj.items():
        if field not in ordered:
            ordered[field] = value
    return orjson.dumps(ordered)


def splice_revision(stored: bytes, revision: int) -> bytes:
    """Return the stored bytes with their resourceVersion, as clients see them."""
    hole = stored.index(_HOLE) + len(_HOLE)
    return b"%b%d%b" % (stored[:hole], revision, stored[hole:])


class CachedObject:
    """One object at one revision: encoded bytes always, decoded when first asked for. Shared and read-only."""

    __slots__ = ("_object", "encoded", "key", "revision")

    def __init__(self, key: str, stored: bytes, revision: int) -> None:
        self.key = key
        self.revision = revision
        self.encoded = splice_revision(stored, revision)
        self._object: Object | None = None

    @property
    def object(self) -> Object:
        """The decoded object, resourceVersion set. Copy before changing it."""
        if self._object is None:
            self._object = orjson.loads(self.encoded)
        return self._object

    def forget_decoded(self) -> None:
        """Keep the bytes alone, which weigh a fifth; whoever has the decoded object keeps it."""
        self._object = None

    def decode_copy(self) -> Object:
        """A private copy to change; decoding again is faster than copying."""
        copy: Object = orjson.loads(self.encoded)
        return copy

    def at_revision(self, revision: int) -> CachedObject:
        """The same content under another resourceVersion (the object of a DELETED event has the deletion's)."""
        start = self.encoded.index(_HOLE) + len(_HOLE)
        end = self.encoded.index(b'"', start)
        return CachedObject(self.key, self.encoded[:start] + self.encoded[end:], revision)

    def __repr__(self) -> str:
        return f"CachedObject({self.key!r}, revision={self.revision})"


class SelectedObjects(list[CachedObject]):
    """Objects of a scope in key order. Shared until one of its kind changes: read-only. Remembers its encoding."""

    __slots__ = ("_encoded",)

    def __init__(self, objects: Iterable[CachedObject] = ()) -> None:
        super().__init__(objects)
        self._encoded: dict[bool, bytes] = {}

    def encoded_items(self, *, with_type: bool) -> bytes:
        """The items joined for a list, made once."""
        encoded = self._encoded.get(with_type)
        if encoded is None:
            encoded = self._encoded[with_type] = _join_items(self, with_type=with_type)
        return encoded


def join_list(head: bytes, objects: Sequence[CachedObject], tail: bytes, *, with_type: bool) -> bytes:
    """Encode a list: what comes before its items, the items, what comes after.

    Items of typed lists are written without their kind and apiVersion, those of custom resources with them.
    """
    if isinstance(objects, SelectedObjects):
        return b"".join((head, objects.encoded_items(with_type=with_type), tail))
    return b"".join((head, _join_items(objects, with_type=with_type), tail))


def _join_items(objects: Sequence[CachedObject], *, with_type: bool) -> bytes:
    if with_type:
        return b",".join([item.encoded for item in objects])
    if not objects:
        return b""
    # Views, and the opening brace as part of the separator: every byte is copied once.
    pieces: list[bytes | memoryview]
    pieces = [memoryview(item.encoded)[item.encoded.index(_METADATA) :] for item in objects]
    pieces[0] = b"".join((b"{", pieces[0]))
    return b",{".join(pieces)
