"""`MemoryEndpoint`: an in-memory `ApiEndpoint` for tests of clients: verbs, versions, watches and faults, no rules.

It does what client machinery can observe: uid, resourceVersion, generation, conflicts, finalizers, deletionTimestamp,
watch windows. It neither defaults nor validates. Faults: `fail_next`, `break_watches`, `compact`.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from control.api.errors import MODIFIED_DETAIL, ApiError, already_exists, conflict, gone, not_found
from control.api.exchange import ApiRequest, ApiResponse, WatchEvent
from control.api.objects import Object, copy_object

PATH = re.compile(
    r"^/(?:api/(?P<core>[^/]+)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?$"
)


@dataclass
class _Fault:
    matches: Callable[[ApiRequest], bool]
    error: Exception
    times: int


@dataclass
class MemoryEndpoint:
    """Objects by (group, plural, namespace, name); every write appends to one log that watches read."""

    objects: dict[tuple[str, str, str, str], Object] = field(default_factory=dict)
    revision: int = 100
    compacted: int = 0
    log: list[tuple[int, str, tuple[str, str, str, str], Object]] = field(default_factory=list)
    requests: list[ApiRequest] = field(default_factory=list)
    faults: list[_Fault] = field(default_factory=list)
    now: Callable[[], datetime] = lambda: datetime(2026, 1, 1, tzinfo=UTC)
    watch_delay: asyncio.Event | None = None

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)
        self._changed = asyncio.Event()
        self._epoch = 0

    def fail_next(self, error: Exception, *, times: int = 1, method: str = "", path_part: str = "") -> None:
        """Answer the next matching requests with an error (ApiError) or raise it (anything else)."""

        def matches(request: ApiRequest) -> bool:
            return (not method or request.method == method) and path_part in request.path

        self.faults.append(_Fault(matches, error, times))

    def break_watches(self) -> None:
        """End every open watch, as a lost connection does."""
        self._epoch += 1
        self._wake()

    def compact(self) -> None:
        """Forget history: watches from older versions get 410."""
        self.compacted = self.revision

    async def __call__(self, request: ApiRequest) -> ApiResponse:
        self.requests.append(request)
        await asyncio.sleep(0)
        try:
            self._raise_fault(request)
            return self._answer(request)
        except ApiError as error:
            return ApiResponse(status=error.code, object=error.to_status())

    def _raise_fault(self, request: ApiRequest) -> None:
        for fault in self.faults:
            if fault.times > 0 and fault.matches(request):
                fault.times -= 1
                raise fault.error

    def _answer(self, request: ApiRequest) -> ApiResponse:
        match = PATH.match(request.path)
        assert match, request.path
        group, plural = match["group"] or "", match["plural"]
        namespace, name = match["namespace"] or "", match["name"] or ""
        query = dict(request.query)
        if request.method == "GET" and query.get("watch"):
            after = int(query.get("resourceVersion") or 0)
            if after < self.compacted:
                raise gone(f"too old resource version: {after} ({self.compacted})")
            return ApiResponse(events=self._watch(group, plural, namespace, after or self.revision))
        if request.method == "GET" and not name:
            items = [
                obj
                for key, obj in sorted(self.objects.items())
                if key[:2] == (group, plural) and (not namespace or key[2] == namespace)
            ]
            return ApiResponse(object={"metadata": {"resourceVersion": str(self.revision)}, "items": items})
        body = copy_object(request.body) if request.body else {}
        if request.method == "POST" and not name:
            return ApiResponse(status=201, object=self._create(group, plural, namespace, body))
        key = (group, plural, namespace, name)
        old = self.objects.get(key)
        if old is None:
            raise not_found(group, plural, name)
        if request.method == "DELETE":
            return ApiResponse(object=self._delete(key, old, body))
        if request.method == "PUT":
            return ApiResponse(object=self._update(key, old, body, match["sub"] or ""))
        if request.method == "PATCH":
            return ApiResponse(object=self._patch(key, old, body))
        return ApiResponse(object=old)

    def _create(self, group: str, plural: str, namespace: str, obj: Object) -> Object:
        metadata = obj["metadata"]
        number = next(self._ids)
        if "generateName" in metadata and "name" not in metadata:
            metadata["name"] = f"{metadata['generateName']}{number:05d}"
        if namespace:
            metadata["namespace"] = namespace
        key = (group, plural, namespace, metadata["name"])
        if key in self.objects:
            raise already_exists(group, plural, metadata["name"])
        metadata.setdefault("uid", f"uid-{number}")
        metadata["creationTimestamp"] = self._timestamp()
        metadata["generation"] = 1
        return self._commit("ADDED", key, obj)

    def _update(self, key: tuple[str, str, str, str], old: Object, obj: Object, subresource: str) -> Object:
        wanted = obj["metadata"].get("resourceVersion")
        if wanted and wanted != old["metadata"]["resourceVersion"]:
            raise conflict(key[0], key[1], key[3], MODIFIED_DETAIL)
        if subresource == "status":
            metadata = {**old["metadata"], "annotations": obj["metadata"].get("annotations", {})}
            obj = {**old, "metadata": metadata, "status": obj.get("status", {})}
        obj = copy_object(obj)
        obj["metadata"]["uid"] = old["metadata"]["uid"]
        return self._store(key, old, obj)

    def _patch(self, key: tuple[str, str, str, str], old: Object, patch: Object) -> Object:
        wanted = patch.get("metadata", {}).get("uid")
        if wanted and wanted != old["metadata"]["uid"]:
            raise conflict(key[0], key[1], key[3], "uid mismatch")
        return self._store(key, old, _merge(copy_object(old), patch))

    def _store(self, key: tuple[str, str, str, str], old: Object, obj: Object) -> Object:
        obj["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if obj == old:
            return old
        if obj.get("spec") != old.get("spec"):
            obj["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        metadata = obj["metadata"]
        is_due = "deletionTimestamp" in metadata and not metadata.get("deletionGracePeriodSeconds")
        if is_due and not metadata.get("finalizers"):
            return self._commit("DELETED", key, obj)
        return self._commit("MODIFIED", key, obj)

    def _delete(self, key: tuple[str, str, str, str], old: Object, options: Object) -> Object:
        wanted = options.get("preconditions", {}).get("uid")
        if wanted and wanted != old["metadata"]["uid"]:
            raise conflict(key[0], key[1], key[3], "Precondition failed: UID in precondition")
        obj = copy_object(old)
        finalizers = list(obj["metadata"].get("finalizers", ()))
        policy = options.get("propagationPolicy")
        wanted_finalizer = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(policy or "")
        if wanted_finalizer and wanted_finalizer not in finalizers:
            finalizers.append(wanted_finalizer)
        if finalizers:
            obj["metadata"]["finalizers"] = finalizers
            obj["metadata"].setdefault("deletionTimestamp", self._timestamp())
            return self._store(key, old, obj)
        return self._commit("DELETED", key, obj)

    def _timestamp(self) -> str:
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def _commit(self, event: str, key: tuple[str, str, str, str], obj: Object) -> Object:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        if event == "DELETED":
            self.objects.pop(key, None)
        else:
            self.objects[key] = obj
        self.log.append((self.revision, event, key, obj))
        self._wake()
        return obj

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _watch(self, group: str, plural: str, namespace: str, after: int) -> AsyncIterator[list[WatchEvent]]:
        epoch = self._epoch
        position = 0
        while epoch == self._epoch:
            changed = self._changed
            batch = [
                WatchEvent(type=event, object=obj)
                for revision, event, key, obj in self.log[position:]
                if revision > after and key[:2] == (group, plural) and (not namespace or key[2] == namespace)
            ]
            position = len(self.log)
            if self.watch_delay is not None:
                await self.watch_delay.wait()
            if batch:
                yield batch
            else:
                await changed.wait()


def _merge(target: Object, patch: Object) -> Object:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value
    return target
