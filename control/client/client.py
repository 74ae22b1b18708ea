"""`Client`: the Kubernetes verbs as methods over a `Transport`. Kinds are arguments, so there is one client for all.

Errors rise as `ApiError` or `ServerUnavailableError`; nothing is retried here. Whoever loops decides about retries.
Objects that come back may be shared with a cache: read-only, copy before change.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from enum import Enum
from typing import Any, TypeAlias

from control.api.errors import ApiError
from control.api.exchange import WatchEvent
from control.api.kinds import Kind
from control.api.objects import Object, ReadOnlyObject
from control.client.transport import Transport

# Named here because inside the class `list` is a verb.
Batches: TypeAlias = AsyncIterator[list[WatchEvent]]
PatchBody: TypeAlias = Object | list[Object]
Parameters: TypeAlias = list[tuple[str, str]]


class PatchType(Enum):
    """How a patch body is to be read; the value is its media type."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class Client:
    """Verbs of the Kubernetes API. `field_manager` names the writer in managedFields, else the user agent does."""

    def __init__(self, transport: Transport, *, field_manager: str = "") -> None:
        self.transport = transport
        self._field_manager = field_manager

    async def get(self, kind: Kind, name: str, *, namespace: str | None = None, subresource: str = "") -> Object:
        """Read one object. Raises ApiError 404 if there is none."""
        return await self.transport.request(
            "GET", kind.path(namespace=namespace, name=name, subresource=subresource or None)
        )

    async def find(self, kind: Kind, name: str, *, namespace: str | None = None) -> Object | None:
        """Read one object, None if there is none."""
        try:
            return await self.get(kind, name, namespace=namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        limit: int = 0,
        continue_token: str = "",
    ) -> Object:
        """Read a list object (`items`, `metadata.resourceVersion`); `resource_version="0"` accepts a cached answer."""
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=resource_version,
            limit=limit or "",
        )
        if continue_token:
            query.append(("continue", continue_token))
        return await self.transport.request("GET", kind.path(namespace=namespace), query=query)

    def watch(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        timeout_seconds: int = 0,
        bookmarks: bool = True,
    ) -> Batches:
        """Yield batches of events after a resourceVersion until the server ends the watch. Raises ApiError (410)."""
        query = _query(
            watch="true",
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=resource_version,
            timeoutSeconds=timeout_seconds or "",
            allowWatchBookmarks="true" if bookmarks else "",
        )
        return self.transport.watch(kind.path(namespace=namespace), query=query)

    async def create(
        self, kind: Kind, obj: ReadOnlyObject, *, namespace: str | None = None, dry_run: bool = False
    ) -> Object:
        """Create an object; the namespace defaults to the object's own."""
        return await self.transport.request(
            "POST",
            kind.path(namespace=namespace or _namespace_of(obj)),
            query=self._write_query(dry_run=dry_run),
            body=dict(obj),
        )

    async def update(self, kind: Kind, obj: ReadOnlyObject, *, subresource: str = "") -> Object:
        """Replace an object. With a resourceVersion in it a concurrent change is a 409 Conflict."""
        metadata = obj["metadata"]
        return await self.transport.request(
            "PUT",
            kind.path(namespace=_namespace_of(obj), name=metadata["name"], subresource=subresource or None),
            query=self._write_query(),
            body=dict(obj),
        )

    async def update_status(self, kind: Kind, obj: ReadOnlyObject) -> Object:
        """Replace an object's status; the rest of `obj` but its resourceVersion is ignored by the server."""
        return await self.update(kind, obj, subresource="status")

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: PatchBody,
        *,
        namespace: str | None = None,
        type: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> Object:
        """Change an object by a patch. APPLY needs a field manager; `force` takes fields others own."""
        query = self._write_query(field_manager=field_manager)
        if force:
            query.append(("force", "true"))
        return await self.transport.request(
            "PATCH",
            kind.path(namespace=namespace, name=name, subresource=subresource or None),
            query=query,
            headers={"content-type": type.value},
            body=patch,
        )

    async def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        uid: str = "",
        resource_version: str = "",
        grace_period_seconds: int | None = None,
        propagation: str = "",
    ) -> Object:
        """Delete an object, under preconditions if given. Returns the object or a Status, as the kind has it."""
        return await self.transport.request(
            "DELETE",
            kind.path(namespace=namespace, name=name),
            body=_delete_options(uid, resource_version, grace_period_seconds, propagation),
        )

    async def delete_collection(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        grace_period_seconds: int | None = None,
        propagation: str = "",
    ) -> Object:
        """Delete every object of a collection that the selectors match."""
        return await self.transport.request(
            "DELETE",
            kind.path(namespace=namespace),
            query=_query(labelSelector=label_selector, fieldSelector=field_selector),
            body=_delete_options("", "", grace_period_seconds, propagation),
        )

    async def create_subresource(
        self, kind: Kind, name: str, subresource: str, obj: ReadOnlyObject, *, namespace: str | None = None
    ) -> Object:
        """POST to a subresource: pods/binding, pods/eviction, serviceaccounts/token."""
        return await self.transport.request(
            "POST",
            kind.path(namespace=namespace, name=name, subresource=subresource),
            query=self._write_query(),
            body=dict(obj),
        )

    async def close(self) -> None:
        """Release the transport's connections."""
        await self.transport.close()

    def _write_query(self, *, field_manager: str = "", dry_run: bool = False) -> Parameters:
        return _query(fieldManager=field_manager or self._field_manager, dryRun="All" if dry_run else "")


def _query(**parameters: str | int) -> Parameters:
    return [(name, str(value)) for name, value in parameters.items() if value != ""]


def _namespace_of(obj: Mapping[str, Any]) -> str | None:
    return obj.get("metadata", {}).get("namespace") or None


def _delete_options(uid: str, resource_version: str, grace_period_seconds: int | None, propagation: str) -> Object:
    options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
    preconditions = {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}
    if preconditions:
        options["preconditions"] = preconditions
    if grace_period_seconds is not None:
        options["gracePeriodSeconds"] = grace_period_seconds
    if propagation:
        options["propagationPolicy"] = propagation
    return options
