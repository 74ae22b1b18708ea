"""Objects every cluster has: made at start where they are missing. Nothing that exists is changed.

Some come back whenever they are deleted, as upstream's: the system's namespaces, and what leads to the API server.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from control.api.builtin_kinds import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    FLOW_SCHEMAS,
    NAMESPACES,
    PRIORITY_CLASSES,
    SERVICE_CIDRS,
    SERVICES,
)
from control.api.errors import ApiError
from control.api.exchange import ApiRequest, User
from control.api.kinds import Kind
from control.api.objects import Object
from control.apiserver.flow_control_objects import FIELD_MANAGER, flow_control_objects
from control.apiserver.own_conditions import DEFAULT_SERVICE_CIDR
from control.apiserver.own_loop import OwnLoop
from control.auth.bootstrap_policy import bootstrap_objects

if TYPE_CHECKING:
    from control.apiserver.app import ApiServer, ApiServerConfig

API_SERVER_USER = User(name="system:apiserver", groups=("system:masters", "system:authenticated"))

_PRIORITY_CLASSES = (
    (
        "system-node-critical",
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
)

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


async def ensure_bootstrap_objects(server: ApiServer) -> None:
    """Make what is missing: namespaces first, the rest together, so that the store commits them as a group."""
    await _ensure_all(server, list(_system_namespaces()))
    objects = [
        *bootstrap_objects(),
        *_priority_classes(),
        *flow_control_objects(),
        *_ways_to_the_server(server.config),
        (CONFIG_MAPS, _authentication_config(server.config)),
    ]
    await _ensure_all(server, objects)


class EnduringObjects:
    """The loop that makes what somebody has deleted again."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self.loop = OwnLoop(server, (NAMESPACES, SERVICES, ENDPOINTS, ENDPOINT_SLICES, SERVICE_CIDRS), self.step)

    async def step(self) -> None:
        """Make what is missing once."""
        await _ensure_all(self._server, [*_system_namespaces(), *_ways_to_the_server(self._server.config)])


def _system_namespaces() -> Iterator[tuple[Kind, Object]]:
    for name in SYSTEM_NAMESPACES:
        yield NAMESPACES, _named(NAMESPACES, name)


def _ways_to_the_server(config: ApiServerConfig) -> Iterator[tuple[Kind, Object]]:
    yield from _kubernetes_service(config)
    yield SERVICE_CIDRS, _named(SERVICE_CIDRS, DEFAULT_SERVICE_CIDR, spec={"cidrs": [config.service_cidr]})


def _priority_classes() -> Iterator[tuple[Kind, Object]]:
    for name, value, description in _PRIORITY_CLASSES:
        yield PRIORITY_CLASSES, _named(PRIORITY_CLASSES, name, value=value, description=description)


def _kubernetes_service(config: ApiServerConfig) -> Iterator[tuple[Kind, Object]]:
    """The Service `kubernetes`, and its endpoints if the server listens where Pods can reach it."""
    host, _, port_text = config.server_address.rpartition(":")
    port = int(port_text)
    address = str(next(ipaddress.ip_network(config.service_cidr).hosts()))
    spec = {
        "type": "ClusterIP",
        "clusterIP": address,
        "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
    }
    service = _named(SERVICES, "kubernetes", "default", spec=spec)
    service["metadata"]["labels"] = {"component": "apiserver", "provider": "kubernetes"}
    yield SERVICES, service
    if not _is_reachable(host):
        return
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    endpoints = _named(ENDPOINTS, "kubernetes", "default", subsets=[{"addresses": [{"ip": host}], "ports": ports}])
    endpoints["metadata"]["labels"] = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    yield ENDPOINTS, endpoints
    endpoint_slice = _named(
        ENDPOINT_SLICES,
        "kubernetes",
        "default",
        addressType="IPv4",
        endpoints=[{"addresses": [host], "conditions": {"ready": True}}],
        ports=ports,
    )
    endpoint_slice["metadata"]["labels"] = {"kubernetes.io/service-name": "kubernetes"}
    yield ENDPOINT_SLICES, endpoint_slice


def _is_reachable(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return not address.is_loopback and not address.is_unspecified


def _authentication_config(config: ApiServerConfig) -> Object:
    """What extension API servers read to trust the same clients as this one."""
    data = {"client-ca-file": config.client_ca_pem} if config.client_ca_pem else {}
    return _named(CONFIG_MAPS, "extension-apiserver-authentication", "kube-system", data=data)


def _named(kind: Kind, name: str, namespace: str = "", **fields: object) -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}


async def _ensure_all(server: ApiServer, objects: Sequence[tuple[Kind, Object]]) -> None:
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
            query=[("fieldManager", FIELD_MANAGER)] if kind.group == FLOW_SCHEMAS.group else [],
            headers={"user-agent": "kube-apiserver"},
            body=obj,
            user=API_SERVER_USER,
            in_process=True,
        )
    )
    if response.status >= 400 and response.status != 409:
        status = response.object or {}
        raise ApiError.from_status(status, code=response.status)
