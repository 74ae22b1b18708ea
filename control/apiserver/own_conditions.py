"""Conditions the API server keeps by itself: of FlowSchemas (`Dangling`), APIServices, the default ServiceCIDR.

Upstream does so inside kube-apiserver (util/flowcontrol, kube-aggregator, controlplane/controller).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from control.api.builtin_kinds import API_SERVICES, FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS, SERVICE_CIDRS, SERVICES
from control.api.exchange import User
from control.api.kinds import Kind
from control.api.meta import find_condition
from control.api.objects import Object, ReadOnlyObject, copy_object
from control.api.timestamps import format_time
from control.apiserver.own_loop import OwnLoop, send_own

if TYPE_CHECKING:
    from control.apiserver.app import ApiServer

_log = logging.getLogger("podling.apiserver")

_APPLY = "application/apply-patch+yaml"
_FLOW_CONTROL_MANAGER = "api-priority-and-fairness-config-consumer-v1"
_SERVICE_CIDR_MANAGER = "kubernetes-service-cidr-controller"
_WATCHED = (FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS, API_SERVICES, SERVICES, SERVICE_CIDRS)
#: The ServiceCIDR that shows the range of the cluster's configuration.
DEFAULT_SERVICE_CIDR = "kubernetes"


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


_RANGE_READY = _condition("Ready", "True", "", "Kubernetes default Service CIDR is ready")


class OwnConditions:
    """The loop that keeps them."""

    def __init__(self, server: ApiServer, user: User) -> None:
        self._server = server
        self._user = user
        self.loop = OwnLoop(server, _WATCHED, self.step)

    async def step(self) -> None:
        """Bring all conditions up to date once."""
        registry = self._server.registry
        levels = {level["metadata"]["name"] for level in registry.list(PRIORITY_LEVEL_CONFIGURATIONS)}
        for schema in registry.list(FLOW_SCHEMAS):
            wanted = dangling_condition(schema, levels)
            if _differs(schema, wanted):
                await self._apply_condition(FLOW_SCHEMAS, schema, wanted, _FLOW_CONTROL_MANAGER)
        for api_service in registry.list(API_SERVICES):
            wanted = available_condition(api_service, self._service_of(api_service))
            if _differs(api_service, wanted):
                await self._set_condition(api_service, wanted)
        default_range = registry.find(SERVICE_CIDRS, None, DEFAULT_SERVICE_CIDR)
        if default_range is not None and find_condition(_conditions(default_range), "Ready") is None:
            await self._apply_condition(SERVICE_CIDRS, default_range, _RANGE_READY, _SERVICE_CIDR_MANAGER)

    def _service_of(self, api_service: ReadOnlyObject) -> ReadOnlyObject | None:
        reference = (api_service.get("spec") or {}).get("service") or {}
        return self._server.registry.find(SERVICES, reference.get("namespace"), reference.get("name", ""))

    async def _apply_condition(self, kind: Kind, obj: ReadOnlyObject, condition: Object, manager: str) -> None:
        name = obj["metadata"]["name"]
        configuration = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": name, "uid": obj["metadata"]["uid"]},
            "status": {"conditions": [self._stamped(obj, condition)]},
        }
        query = [("fieldManager", manager), ("force", "true")]
        await self._send("PATCH", kind, name, configuration, query)

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
        path = f"{kind.path(name=name)}/status"
        content_type = _APPLY if method == "PATCH" else ""
        response = await send_own(self._server, self._user, method, path, body, query=query, content_type=content_type)
        if response.status == 409:
            self.loop.wake()  # somebody wrote in between
        elif response.status >= 400 and response.status != 404:
            _log.warning("Could not update a status: kind=%s name=%s answer=%s", kind.kind, name, response.object)
            self.loop.wake_later()


def _conditions(obj: ReadOnlyObject) -> list[Any]:
    return (obj.get("status") or {}).get("conditions") or []


def _differs(obj: ReadOnlyObject, wanted: Object) -> bool:
    current = find_condition(_conditions(obj), wanted["type"])
    return current is None or any(current.get(name) != wanted[name] for name in ("status", "reason", "message"))
