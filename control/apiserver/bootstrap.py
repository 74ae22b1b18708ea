"""Objects every cluster has: made at start where they are missing. Nothing that exists is changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from control.api.builtin_kinds import NAMESPACES
from control.api.errors import ApiError
from control.api.exchange import ApiRequest, User
from control.api.kinds import Kind
from control.api.objects import Object

if TYPE_CHECKING:
    from control.apiserver.app import ApiServer

API_SERVER_USER = User(name="system:apiserver", groups=("system:masters", "system:authenticated"))

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


async def ensure_bootstrap_objects(server: ApiServer) -> None:
    """Make what is missing: namespaces first, the rest together, so that the store commits them as a group."""
    await _ensure_all(server, [(NAMESPACES, _named(NAMESPACES, name)) for name in SYSTEM_NAMESPACES])


def _named(kind: Kind, name: str, namespace: str = "", **fields: object) -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}


async def _ensure_all(server: ApiServer, objects: list[tuple[Kind, Object]]) -> None:
    missing = [
        (kind, obj)
        for kind, obj in objects
        if server.registry.find(kind, obj["metadata"].get("namespace"), obj["metadata"]["name"]) is None
    ]
    await asyncio.gather(*(_create(server, kind, obj) for kind, obj in missing))


async def _create(server: ApiServer, kind: Kind, obj: Object) -> None:
    response = await server.endpoint(
        ApiRequest(
            method="POST",
            path=kind.path(namespace=obj["metadata"].get("namespace")),
            headers={"user-agent": "kube-apiserver"},
            body=obj,
            user=API_SERVER_USER,
            in_process=True,
        )
    )
    if response.status >= 400 and response.status != 409:
        status = response.object or {}
        raise ApiError.from_status(status, code=response.status)
