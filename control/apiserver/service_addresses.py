"""IPAddress objects: one for each cluster IP a Service holds (upstream: service/ipallocator).

Upstream allocates by creating them. Here the allocator holds the addresses, and this loop shows them: an address that
appears or is deleted by hand is put right again. IPAddresses that somebody else made are left alone, and the allocator
does not give their addresses away.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from control.api.builtin_kinds import IP_ADDRESSES, SERVICES
from control.api.exchange import User
from control.api.meta import labels_of
from control.api.objects import Object, ReadOnlyObject
from control.apiserver.own_loop import OwnLoop, send_own

if TYPE_CHECKING:
    from control.apiserver.app import ApiServer

_log = logging.getLogger("podling.apiserver")

_FAMILY_LABEL = "ipaddress.kubernetes.io/ip-family"
_MANAGER_LABEL = "ipaddress.kubernetes.io/managed-by"
_MANAGER = "ipallocator.k8s.io"


def is_shown_by_allocator(address: ReadOnlyObject) -> bool:
    """Whether an IPAddress only shows what a Service holds."""
    return labels_of(address).get(_MANAGER_LABEL) == _MANAGER


def wanted_addresses(services: Iterable[ReadOnlyObject]) -> dict[str, Object]:
    """The IPAddress of every cluster IP, by its name."""
    wanted = {}
    for service in services:
        for text in (service.get("spec") or {}).get("clusterIPs") or ():
            if text and text != "None":
                wanted[text] = _address_of(service, text)
    return wanted


def _address_of(service: ReadOnlyObject, text: str) -> Object:
    metadata = service["metadata"]
    labels = {_FAMILY_LABEL: "IPv6" if ":" in text else "IPv4", _MANAGER_LABEL: _MANAGER}
    parent = {"group": "", "resource": "services", "namespace": metadata["namespace"], "name": metadata["name"]}
    return {
        "apiVersion": IP_ADDRESSES.api_version,
        "kind": IP_ADDRESSES.kind,
        "metadata": {"name": text, "labels": labels},
        "spec": {"parentRef": parent},
    }


def stale_addresses(wanted: Mapping[str, Object], present: Iterable[ReadOnlyObject]) -> list[str]:
    """Names of IPAddresses that show what no Service holds any more, or what another one does."""
    return [
        address["metadata"]["name"]
        for address in present
        if is_shown_by_allocator(address) and _parent(address) != _parent(wanted.get(address["metadata"]["name"]))
    ]


def _parent(address: ReadOnlyObject | None) -> tuple[str, str] | None:
    reference = ((address or {}).get("spec") or {}).get("parentRef")
    return (reference.get("namespace", ""), reference.get("name", "")) if reference else None


class ServiceAddresses:
    """The loop that keeps them."""

    def __init__(self, server: ApiServer, user: User) -> None:
        self._server = server
        self._user = user
        self.loop = OwnLoop(server, (SERVICES, IP_ADDRESSES), self.step)

    async def step(self) -> None:
        """Bring all IPAddresses up to date once."""
        registry = self._server.registry
        wanted = wanted_addresses(registry.list(SERVICES))
        present = {address["metadata"]["name"]: address for address in registry.list(IP_ADDRESSES)}
        stale = stale_addresses(wanted, present.values())
        for name in stale:
            await self._send("DELETE", IP_ADDRESSES.path(name=name))
        for name, address in wanted.items():
            if name not in present or name in stale:
                await self._send("POST", IP_ADDRESSES.path(), address)

    async def _send(self, method: str, path: str, body: Object | None = None) -> None:
        response = await send_own(self._server, self._user, method, path, body)
        if response.status >= 400 and response.status not in (404, 409):
            _log.warning("Could not keep an IPAddress: method=%s path=%s answer=%s", method, path, response.object)
