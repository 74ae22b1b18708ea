"""`ServedKind`: a `Kind` with everything the server needs to serve it, and `KindRegistry`, the table of them.

Built-in kinds are registered at start; a CustomResourceDefinition registers and removes kinds while the server runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from control.api.builtin_kinds import (
    COMPONENT_STATUSES,
    DEPLOYMENTS,
    ENDPOINTS,
    EVENTS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from control.api.errors import ApiError, not_found
from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject
from control.apiserver.cache.encoding import CachedObject, encode_for_storage
from control.apiserver.cache.watch_cache import WatchCache
from control.apiserver.cache.watcher import WatchScope
from control.apiserver.registry.allocators.protocol import Allocator
from control.apiserver.registry.conversion import Conversion, conversion_of
from control.apiserver.registry.strategy import Strategy
from control.apiserver.request_body import BodyKind, ParsedBody
from control.schema.decoder import zero_object
from control.schema.stored_form import GROUPS_STORED_AS_JSON, forget_empty_lists
from control.schema.structural import Schema
from control.schema.validate import Decoded, decode_object, enforce_field_validation

if TYPE_CHECKING:
    from control.api.exchange import ApiResponse
    from control.apiserver.request_context import RequestContext

#: Events are forgotten after upstream's default --event-ttl.
EVENT_TTL_SECONDS = 3600


#: What every request for a kind is told.
_DEPRECATIONS = {
    ENDPOINTS.storage_prefix: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    COMPONENT_STATUSES.storage_prefix: "v1 ComponentStatus is deprecated in v1.19+",
}


#: Kinds whose number of replicas upstream's internal types always have, so that 0 is printed where nothing was set.
_COUNTED_REPLICAS = frozenset(
    kind.storage_prefix for kind in (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, REPLICATION_CONTROLLERS)
)


def _nothing() -> None:
    """Undo nothing."""


class ServedKind:
    """A kind in one served version. `schema` is found when first needed; `cache` is shared by all versions."""

    def __init__(
        self,
        kind: Kind,
        *,
        find_schema: Callable[[], Schema],
        strategy: Strategy,
        cache: WatchCache,
        is_custom: bool = False,
        allocator: Allocator | None = None,
        indexed_fields: tuple[str, ...] = (),
    ) -> None:
        self.kind = kind
        self.strategy = strategy
        self.cache = cache
        self.is_custom = is_custom
        self.conversion: Conversion | None = conversion_of(kind)
        self.body_kind = BodyKind.of(kind, is_custom=is_custom)
        self.ttl_seconds = EVENT_TTL_SECONDS if kind.storage_prefix == EVENTS.storage_prefix else None
        self.indexed_fields = indexed_fields
        self.deprecation = _DEPRECATIONS.get(kind.storage_prefix, "")
        self._find_schema = find_schema
        self._allocator = allocator

    @cached_property
    def schema(self) -> Schema:
        """The kind's schema."""
        return self._find_schema()

    @cached_property
    def stored_schema(self) -> Schema:
        """The schema of the version the kind is stored in."""
        return self.conversion.stored_schema() if self.conversion else self.schema

    @cached_property
    def empty_object(self) -> Object:
        """An object in which nothing is set, as upstream prints it (the object of a bookmark)."""
        empty: Object = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, **zero_object(self.schema)}
        if self.kind.storage_prefix in _COUNTED_REPLICAS:
            empty["spec"] = {"replicas": 0, **empty["spec"]}
        return empty

    def key(self, namespace: str, name: str) -> str:
        """The storage key of an object."""
        return self.kind.storage_key(namespace, name)

    def decode(self, parsed: ParsedBody, *, field_validation: str, warn: Callable[[str], None]) -> Object:
        """Decode a body: types, unknown fields, defaults. Returns a private object."""
        decoded = decode_object(parsed.object, self.schema, kind=self.kind, body=parsed.json_text)
        if parsed.duplicates:
            decoded = Decoded(decoded.object, (self._duplicate_keys_text(parsed), *decoded.strict_errors))
        for text in enforce_field_validation(decoded, field_validation, kind=self.kind):
            warn(text)
        return self.settle(decoded.object)

    def _duplicate_keys_text(self, parsed: ParsedBody) -> str:
        return "yaml: unmarshal errors:\n  " + "\n  ".join(parsed.duplicates)

    def settle(self, obj: Object) -> Object:
        """Give a decoded object its type and defaults, and the form in which every client will read it."""
        self.complete(obj)
        self.strategy.default(obj)
        if self.conversion is None:
            return obj
        return self.conversion.from_stored(self.conversion.to_stored(obj))

    def complete(self, obj: Object) -> None:
        """Name an object's version and kind as this kind does."""
        obj["apiVersion"] = self.kind.api_version
        obj["kind"] = self.kind.kind

    def object_of(self, cached: CachedObject) -> ReadOnlyObject:
        """The object in this version. Read-only."""
        return cached.object if self.conversion is None else self.conversion.from_stored(cached.object)

    def encode(self, obj: Object) -> bytes:
        """Encode an object (of the stored version) for the store, which also gives it its stored form."""
        encoded = encode_for_storage(obj)
        if b"[]" in encoded and not self.is_custom and self.kind.group not in GROUPS_STORED_AS_JSON:
            forget_empty_lists(obj, self.stored_schema)
            encoded = encode_for_storage(obj)
        return encoded

    def copy_of(self, cached: CachedObject) -> Object:
        """A private copy of the object in this version."""
        copy = cached.decode_copy()
        return copy if self.conversion is None else self.conversion.from_stored(copy)

    def to_stored(self, obj: Object) -> Object:
        """The object in the stored version."""
        return obj if self.conversion is None else self.conversion.to_stored(obj)

    def from_stored(self, obj: Object) -> Object:
        """The object in this version."""
        return obj if self.conversion is None else self.conversion.from_stored(obj)

    def allocate(self, obj: Object, old: ReadOnlyObject | None) -> Callable[[], None]:
        """Take what the object needs from shared ranges (addresses, ports); returns how to give it back."""
        return self._allocator.allocate(obj, old) if self._allocator else _nothing

    def release(self, obj: ReadOnlyObject) -> None:
        """Give back what a deleted object held."""
        if self._allocator:
            self._allocator.release(obj)

    def not_found(self, name: str) -> ApiError:
        """404 for a name of this kind."""
        return not_found(self.kind.group, self.kind.plural, name)


class ComputedKind(Protocol):
    """A kind whose objects are made when they are read; it answers by itself."""

    @property
    def kind(self) -> Kind:
        """Its names."""
        ...

    async def answer(self, context: RequestContext) -> ApiResponse:
        """Answer a request whose verb the kind has."""
        ...


class KindRegistry:
    """Served kinds by group, version and plural. Also the reader of admission plugins."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str, str], ServedKind] = {}
        self._computed: dict[tuple[str, str, str], ComputedKind] = {}
        #: counts changes of the table, so that documents made of it know when they are old
        self.generation = 0

    def add(self, served: ServedKind) -> None:
        """Serve a kind."""
        kind = served.kind
        self._kinds[kind.group, kind.version, kind.plural] = served
        self.generation += 1

    def remove(self, kind: Kind) -> None:
        """Stop serving a kind."""
        self._kinds.pop((kind.group, kind.version, kind.plural), None)
        self.generation += 1

    def add_computed(self, kind: Kind, computed: ComputedKind) -> None:
        """Serve a kind whose objects are made when they are read."""
        self._computed[kind.group, kind.version, kind.plural] = computed
        self.generation += 1

    def remove_computed(self, kind: Kind) -> None:
        """Stop serving such a kind."""
        self._computed.pop((kind.group, kind.version, kind.plural), None)
        self.generation += 1

    def find_computed(self, kind: Kind) -> ComputedKind | None:
        """Return what makes the objects of a kind, or None."""
        return self.get_computed(kind.group, kind.version, kind.plural)

    def get_computed(self, group: str, version: str, plural: str) -> ComputedKind | None:
        """Return what makes the objects of a path, or None."""
        return self._computed.get((group, version, plural))

    @property
    def kinds(self) -> list[Kind]:
        """Every kind that clients can discover."""
        return [*(one.kind for one in self._kinds.values()), *(one.kind for one in self._computed.values())]

    def get(self, group: str, version: str, plural: str) -> ServedKind | None:
        """Return what is served under a path, or None."""
        return self._kinds.get((group, version, plural))

    def of(self, kind: Kind) -> ServedKind:
        """Return a kind that is known to be served."""
        return self._kinds[kind.group, kind.version, kind.plural]

    def __iter__(self) -> Iterator[ServedKind]:
        return iter(self._kinds.values())

    def find(self, kind: Kind, namespace: str | None, name: str) -> ReadOnlyObject | None:
        """Return the present object (read-only), or None."""
        served = self.of(kind)
        cached = served.cache.get(served.key(namespace or "", name))
        return served.object_of(cached) if cached else None

    def list(self, kind: Kind, namespace: str | None = None) -> list[ReadOnlyObject]:
        """Return the present objects of a kind, of one namespace or all. Read-only."""
        served = self.of(kind)
        return [served.object_of(cached) for cached in served.cache.select(WatchScope(namespace=namespace or ""))]
