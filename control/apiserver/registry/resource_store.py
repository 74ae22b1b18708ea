"""The write path of one served kind, and reads of its present state.

A create runs: server fields → field managers → mutating admission → defaults again → strategy prepares → allocation →
validation → validating admission → store. An update runs the same inside a compare-and-swap loop around a function
that makes the wanted object of the live one. The order is upstream's (endpoints/handlers and registry/generic/registry
of k8s.io/apiserver). Deletion is in `deletion.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from control.api.clock import Clock
from control.api.errors import (
    ApiError,
    already_exists,
    forbidden,
    generate_name_conflict,
)
from control.api.names import Chooser, generate_name
from control.api.objects import Object, ReadOnlyObject
from control.api.records import record
from control.apiserver.admission.chain import AdmissionChain, Attributes
from control.apiserver.cache.encoding import CachedObject
from control.apiserver.registry import metadata as rules
from control.apiserver.registry.before_write import before_create, before_update
from control.apiserver.registry.deletion import is_deleted_by_update
from control.apiserver.registry.field_managers import record_change, record_create, restore_times_of_no_change
from control.apiserver.registry.preconditions import check_revision, check_uid, refuse_uid_of_new_object
from control.apiserver.registry.served_kind import ServedKind
from control.apiserver.registry.stored_size import check_stored_size
from control.apiserver.registry.uids import new_uid
from control.apiserver.registry.write_request import WriteRequest
from control.auth.attributes import Authorizer, RequestAttributes
from control.storage.protocol import (
    KeyExistsError,
    KeyNotFoundError,
    RevisionConflictError,
    Storage,
)

GENERATED_NAME_ATTEMPTS = 8


@record(frozen=True, slots=True)
class Written:
    """The answer of a write: what is cached at its revision, or (dry run, deletion) a decoded object of its own."""

    cached: CachedObject | None = None
    object: ReadOnlyObject | None = None
    is_created: bool = False


@record(frozen=True, slots=True)
class Change:
    """What an update wants: makes the new object of the live one (a private copy; None if there is none).

    `records_fields` is False for server-side apply, which keeps managedFields itself. `is_status` uses the status
    hooks of the strategy. A `uid` must be that of the object the update finds.
    """

    produce: Callable[[Object | None], Object]
    records_fields: bool = True
    is_status: bool = False
    allows_create: bool = False
    uid: str = ""


class ResourceStore:
    """Reads and writes the objects of one served kind."""

    def __init__(
        self,
        served: ServedKind,
        *,
        storage: Storage,
        admission: AdmissionChain,
        authorizer: Authorizer,
        clock: Clock,
        random: Chooser,
    ) -> None:
        self.served = served
        self.kind = served.kind
        self.strategy = served.strategy
        self.storage = storage
        self.admission = admission
        self._authorizer = authorizer
        self.clock = clock
        self._random = random

    # ---- reads ------------------------------------------------------------------------------------------------

    def find(self, namespace: str, name: str) -> CachedObject | None:
        """The present object, or None."""
        return self.served.cache.get(self.served.key(namespace, name))

    def get(self, namespace: str, name: str) -> CachedObject:
        """The present object. Raises 404."""
        cached = self.find(namespace, name)
        if cached is None:
            raise self.served.not_found(name)
        return cached

    # ---- create -----------------------------------------------------------------------------------------------

    async def create(self, write: WriteRequest, obj: Object) -> Written:
        """Create an object that `ServedKind.decode` returned."""
        rules.wipe_server_fields(obj)
        rules.set_request_namespace(self.kind, obj, write.namespace)
        for text in rules.drop_repeated_owners(obj):
            write.warn(text)
        record_create(self.served, write, obj)
        return await self._create_prepared(write, obj)

    async def _create_prepared(self, write: WriteRequest, obj: Object) -> Written:
        attributes = self.attributes(write, "CREATE", obj, None)
        await self.admit(write, attributes)
        with suppress(ValueError):  # upstream's store forgives what it cannot read
            if rules.given_revision(obj):
                raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        rules.fill_server_fields(obj, uid=new_uid(), now=write.now)
        generate = obj["metadata"].get("generateName") if not obj["metadata"].get("name") else None
        for attempt in range(1, GENERATED_NAME_ATTEMPTS + 1):
            if generate:
                obj["metadata"]["name"] = generate_name(generate, self._random)
            try:
                return await self._create_named(write, obj, attributes)
            except KeyExistsError:
                if not generate or attempt == GENERATED_NAME_ATTEMPTS:
                    raise self._exists(write, obj["metadata"]) from None
        raise AssertionError("unreachable")

    async def _create_named(self, write: WriteRequest, obj: Object, attributes: Attributes) -> Written:
        stored = self.served.to_stored(obj)
        with self._allocated(write, stored, None):
            before_create(self.served, write, stored)
            attributes.object = self._as_served(stored, obj)
            attributes.name = obj["metadata"]["name"]
            await self.judge(write, attributes)
            return await self._store_new(write, stored)

    @contextmanager
    def _allocated(self, write: WriteRequest, obj: Object, old: ReadOnlyObject | None) -> Iterator[None]:
        """What the object takes from the cluster's ranges, given back unless it is stored."""
        undo = self.served.allocate(obj, old)
        try:
            yield
        except BaseException:
            undo()
            raise
        if write.options.dry_run:
            undo()

    def _as_served(self, stored: Object, obj: Object) -> Object:
        if self.served.conversion is None:
            return stored
        obj.clear()
        obj.update(self.served.conversion.from_stored(stored))
        return obj

    async def _store_new(self, write: WriteRequest, obj: Object) -> Written:
        key = self.served.key(write.namespace, obj["metadata"]["name"])
        self.strategy.default(obj)  # what is stored is read with defaults: of labels made by the strategy, for one
        encoded = self.served.encode(obj)
        if write.options.dry_run:
            if self.served.cache.get(key) is not None:
                raise KeyExistsError(key)
            return Written(object=self.served.from_stored(obj), is_created=True)
        check_stored_size(key, obj, encoded, is_custom=self.served.is_custom)
        revision = await self.storage.create(key, encoded, ttl_seconds=self.served.ttl_seconds)
        return self._written(key, revision, encoded, is_created=True)

    def _written(self, key: str, revision: int, encoded: bytes, *, is_created: bool = False) -> Written:
        cached = self.served.cache.get(key)
        if cached is None or cached.revision != revision:  # someone wrote again before this task went on
            cached = CachedObject(key, encoded, revision)
        return Written(cached, is_created=is_created)

    def _exists(self, write: WriteRequest, metadata: Object) -> ApiError:
        name = metadata["name"]
        error = already_exists(self.kind.group, self.kind.plural, name)
        if metadata.get("generateName"):  # whether the name was made of it or not, as upstream
            error = generate_name_conflict(self.kind.group, self.kind.plural, name)
        cached = self.find(write.namespace, name)
        if cached is not None and cached.object["metadata"].get("deletionTimestamp"):
            error.message = "object is being deleted: " + error.message
        return error

    # ---- update -----------------------------------------------------------------------------------------------

    async def update(self, write: WriteRequest, change: Change) -> Written:
        """Update the object the request names, again and again until nobody else wrote in between."""
        key = self.served.key(write.namespace, write.name)
        while True:
            cached = self.served.cache.get(key)
            if cached is None:
                return await self._create_by_update(write, change)
            self._check_uid(write, change, cached.object["metadata"]["uid"])
            try:
                return await self._update_once(write, change, cached)
            except (RevisionConflictError, KeyNotFoundError):
                continue

    async def _create_by_update(self, write: WriteRequest, change: Change) -> Written:
        if not change.allows_create:
            raise self.served.not_found(write.name)
        self._check_uid(write, change, "")
        obj = change.produce(None)
        refuse_uid_of_new_object(self.kind, write.name, rules.metadata_of(obj).get("uid") or "")
        rules.wipe_server_fields(obj)
        rules.set_request_namespace(self.kind, obj, write.namespace)
        rules.check_request_name(obj, write.name)
        self._authorize_create(write)
        obj["metadata"].pop("resourceVersion", None)
        if change.records_fields:
            record_create(self.served, write, obj)
        return await self._create_prepared(write, obj)

    def _check_uid(self, write: WriteRequest, change: Change, found: str) -> None:
        check_uid(
            self.kind, write.namespace, write.name, wanted=change.uid, found=found, is_custom=self.served.is_custom
        )

    def _authorize_create(self, write: WriteRequest) -> None:
        """Whoever was let in to change an object may not thereby make one."""
        attributes = RequestAttributes(
            verb="create",
            group=self.kind.group,
            version=self.kind.version,
            resource=self.kind.plural,
            subresource=write.subresource,
            namespace=write.namespace,
            name=write.name,
        )
        decision = self._authorizer.authorize(write.user, attributes)
        if not decision.allowed:
            raise forbidden(self.kind.group, self.kind.plural, write.name, decision.reason)

    async def _update_once(self, write: WriteRequest, change: Change, cached: CachedObject) -> Written:
        live = self.served.object_of(cached)
        obj = change.produce(self.served.copy_of(cached))
        rules.set_request_namespace(self.kind, obj, write.namespace)
        rules.check_request_name(obj, write.name)
        if change.records_fields:
            record_change(self.served, write, live, obj)
        attributes = self.attributes(write, "UPDATE", obj, live)
        await self.admit(write, attributes)
        check_revision(self.kind, self.strategy, obj, cached.revision)
        old = cached.object
        stored = self.served.to_stored(obj)
        with self._allocated(write, stored, old):
            before_update(self.served, write, stored, old, is_status=change.is_status)
            attributes.object = self._as_served(stored, obj)
            await self.judge(write, attributes)
            return await self._store_changed(write, stored, old, cached)

    async def _store_changed(
        self, write: WriteRequest, obj: Object, old: ReadOnlyObject, cached: CachedObject
    ) -> Written:
        self.strategy.default(obj)
        encoded = self.served.encode(obj)
        restore_times_of_no_change(obj, old)  # then it equals the old one, and what was encoded is not needed
        if is_deleted_by_update(self.kind, obj):
            return await self._delete_by_update(write, obj, cached)
        if obj == old:
            return Written(cached)
        if write.options.dry_run:
            return Written(object=self.served.from_stored(obj))
        check_stored_size(cached.key, obj, encoded, is_custom=self.served.is_custom)
        revision = await self.storage.update(
            cached.key,
            encoded,
            expected_revision=cached.revision,
            ttl_seconds=self.served.ttl_seconds,
        )
        return self._written(cached.key, revision, encoded)

    async def _delete_by_update(self, write: WriteRequest, obj: Object, cached: CachedObject) -> Written:
        """The last finalizer is gone: the update is the deletion. The answer keeps the last revision, as upstream's."""
        if not write.options.dry_run:
            await self.storage.delete(cached.key, expected_revision=cached.revision)
            self.served.release(obj)
        return Written(object=self.served.from_stored(obj))

    async def rewrite(self, namespace: str, name: str, change: Callable[[Object], None]) -> CachedObject:
        """Change an object from inside the server: compare-and-swap, but no strategy, admission or field managers.

        For what upstream writes past its own strategies: the node of a bound Pod, the condition of an evicted one.
        """
        while True:
            cached = self.get(namespace, name)
            obj = cached.decode_copy()
            change(obj)
            if obj == cached.object:
                return cached
            encoded = self.served.encode(obj)
            try:
                revision = await self.storage.update(cached.key, encoded, expected_revision=cached.revision)
            except (RevisionConflictError, KeyNotFoundError):
                continue
            return CachedObject(cached.key, encoded, revision)

    # ---- shared -----------------------------------------------------------------------------------------------

    def attributes(
        self, write: WriteRequest, operation: str, obj: Object | None, old: ReadOnlyObject | None
    ) -> Attributes:
        """Describe a write to admission plugins."""
        name = write.name
        if not name and obj is not None:
            name = obj["metadata"].get("name") or ""
        return Attributes(
            kind=self.kind,
            operation=operation,
            user=write.user,
            namespace=write.namespace,
            name=name,
            subresource=write.subresource,
            object=obj,
            old_object=old,
            dry_run=write.options.dry_run,
        )

    async def admit(self, write: WriteRequest, attributes: Attributes) -> None:
        """Run mutating admission, then defaults again."""
        try:
            await self.admission.admit(attributes)
        finally:
            _pass_on_warnings(write, attributes)
        obj = attributes.object
        if obj is not None:
            self.strategy.default(obj)
            for text in rules.drop_repeated_owners(obj, after_admission=True):
                write.warn(text)

    async def judge(self, write: WriteRequest, attributes: Attributes) -> None:
        """Run validating admission. What plugins warn of reaches the client even if one refuses."""
        try:
            await self.admission.validate(attributes)
        finally:
            _pass_on_warnings(write, attributes)


def _pass_on_warnings(write: WriteRequest, attributes: Attributes) -> None:
    for text in attributes.warnings:
        write.warn(text)
    attributes.warnings.clear()
