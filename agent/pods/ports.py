"""Ports of containers: given by number or by name, and those that are ports of the host too. Pure."""

from __future__ import annotations

from typing import Any

from agent.network.protocol import PortMapping
from agent.pods.pod_spec import init_containers, is_sidecar, regular_containers
from control.api.objects import ReadOnlyObject


class PortError(Exception):
    """The port is not known; the message is the kubelet's."""


def resolve_port(container: ReadOnlyObject, port: Any) -> int:
    """The number of a port. Raises PortError."""
    if isinstance(port, int):
        number = port
    elif isinstance(port, str) and port.isdigit():
        number = int(port)
    else:
        named = next((item for item in container.get("ports") or () if item.get("name") == port), None)
        if named is None:
            raise PortError(f"couldn't find port: {port} in {container['name']}")
        number = int(named["containerPort"])
    if not 0 < number < 65536:
        raise PortError(f"invalid port number: {number}")
    return number


def port_mappings(pod: ReadOnlyObject) -> list[PortMapping]:
    """The host ports of the Pod's containers and sidecars; in the host's network a port maps to itself."""
    sidecars = [container for container in init_containers(pod) if is_sidecar(container)]
    return [
        PortMapping(
            host_port=port["hostPort"],
            container_port=port["containerPort"],
            protocol=port.get("protocol") or "TCP",
            host_ip=port.get("hostIP") or "",
        )
        for container in (*regular_containers(pod), *sidecars)
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]
