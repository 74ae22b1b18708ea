"""Conditions the API server keeps by itself, controllers or not: `Dangling` of FlowSchemas, `Available` of APIServices.

Upstream runs both inside kube-apiserver (util/flowcontrol and kube-aggregator). Level-triggered: any change of the
kinds involved wakes one turn over all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from control.api.builtin_kinds import API_SERVICES, FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS, SERVICES
from control.api.exchange import ApiRequest, User
from control.api.kinds import Kind
from control.api.meta import find_condition
from control.api.objects import Object, ReadOnlyObject, copy_object
from control.api.timestamps import format_time

if TYPE_CHECKING:
    from control.apiserver.app import ApiServer

_log = logging.getLogger("podling.apiserver")

_APPLY = "application/apply-patch+yaml"
_FLOW_CONTROL_MANAGER = "api-priority-and-fairness-config-consumer-v1"
_WATCHED = (FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS, API_SERVICES, SERVICES)


def dangling_condition(schema: ReadOnlyObject, levels: set[str]) -> Object:
    """Whether a FlowSchema names a PriorityLevelConfiguration that exists."""
    level = ((schema.get("spec") or {}).get("priorityLevelConfiguration") or {}).get("name", "")
    reference = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    if level in levels:
        return _condition("Dangling", "False", "Found", f"{reference} and it exists")
    return _condition("Dangling", "True", "NotFound", f"{reference} but there is no such object")


def available_condition(api_service: ReadOnlyObject, service: ReadOnlyObject | None) -> Object:
    """Whether the API that an APIService announces is served. This server forwards nothing to other API servers."""
    reference = (api_service.get("spec") or {}).get("service")
    if not reference:
        return _condition("Available", "True", "Local", "Local APIServices are always available")
    shown = f'service/{reference.get("name", "")} in "{reference.get("namespace", "")}"'
    if service is None:
        return _condition("Available", "False", "ServiceNotFound", f"{shown} is not present")
    port = reference.get("port", 443)
    if not any(item.get("port") == port for item in (service.get("spec") or {}).get("ports") or ()):
        return _condition("Available", "False", "ServicePortError", f"{shown} is not listening on port {port}")
    problem = f"requests are not forwarded to {shown}: this server has no aggregation layer"
    return _condition("Available", "False", "FailedDiscoveryCheck", problem)


def _condition(kind: str, status: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


class OwnConditions:
    """The loop that keeps them."""

    def __init__(self, server: ApiServer, user: User) -> None:
        self._server = server
        self._user = user
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to follow the kinds involved."""
        self._tasks = [asyncio.create_task(self._follow(kind)) for kind in _WATCHED]
        self._tasks.append(asyncio.create_task(self._run()))

    def stop(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()

    async def _follow(self, kind: Kind) -> None:
        cache = self._server.registry.of(kind).cache
        while True:
            watcher = cache.watch()
            self._changed.set()  # whatever happened before the watch
            async for _ in watcher:
                self._changed.set()
            if not watcher.is_overrun:
                return  # the server stops

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.step()
            except Exception:
                _log.exception("Could not update own conditions")

    async def step(self) -> None:
        """Bring all conditions up to date once."""
        registry = self._server.registry
        levels = {level["metadata"]["name"] for level in registry.list(PRIORITY_LEVEL_CONFIGURATIONS)}
        for schema in registry.list(FLOW_SCHEMAS):
            wanted = dangling_condition(schema, levels)
            if _differs(schema, wanted):
                await self._apply_condition(schema, wanted)
        for api_service in registry.list(API_SERVICES):
            wanted = available_condition(api_service, self._service_of(api_service))
            if _differs(api_service, wanted):
                await self._set_condition(api_service, wanted)

    def _service_of(self, api_service: ReadOnlyObject) -> ReadOnlyObject | None:
        reference = (api_service.get("spec") or {}).get("service") or {}
        return self._server.registry.find(SERVICES, reference.get("namespace"), reference.get("name", ""))

    async def _apply_condition(self, schema: ReadOnlyObject, condition: Object) -> None:
        name = schema["metadata"]["name"]
        await self._send(
            "PATCH",
            FLOW_SCHEMAS,
            name,
            {
                "apiVersion": FLOW_SCHEMAS.api_version,
                "kind": FLOW_SCHEMAS.kind,
                "metadata": {"name": name, "uid": schema["metadata"]["uid"]},
                "status": {"conditions": [self._stamped(schema, condition)]},
            },
            [("fieldManager", _FLOW_CONTROL_MANAGER), ("force", "true")],
        )

    async def _set_condition(self, api_service: ReadOnlyObject, condition: Object) -> None:
        changed = copy_object(api_service)
        others = [item for item in _conditions(api_service) if item.get("type") != condition["type"]]
        changed["status"] = {"conditions": [*others, self._stamped(api_service, condition)]}
        await self._send("PUT", API_SERVICES, api_service["metadata"]["name"], changed, [])

    def _stamped(self, obj: ReadOnlyObject, condition: Object) -> Object:
        current = find_condition(_conditions(obj), condition["type"])
        if current is not None and current.get("status") == condition["status"]:
            return {**condition, "lastTransitionTime": current.get("lastTransitionTime")}
        return {**condition, "lastTransitionTime": format_time(self._server.clock.now())}

    async def _send(self, method: str, kind: Kind, name: str, body: Object, query: Sequence[tuple[str, str]]) -> None:
        headers = {"user-agent": "kube-apiserver"}
        if method == "PATCH":
            headers["content-type"] = _APPLY
        response = await self._server.endpoint(
            ApiRequest(
                method=method,
                path=f"{kind.path(name=name)}/status",
                query=query,
                headers=headers,
                body=body,
                user=self._user,
                in_process=True,
            )
        )
        if response.status == 409:
            self._changed.set()  # somebody wrote in between
        elif response.status >= 400 and response.status != 404:
            _log.warning("Could not update a status: kind=%s name=%s answer=%s", kind.kind, name, response.object)


def _conditions(obj: ReadOnlyObject) -> list[Any]:
    return (obj.get("status") or {}).get("conditions") or []


def _differs(obj: ReadOnlyObject, wanted: Object) -> bool:
    current = find_condition(_conditions(obj), wanted["type"])
    return current is None or any(current.get(name) != wanted[name] for name in ("status", "reason", "message"))
