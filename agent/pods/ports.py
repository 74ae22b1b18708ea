"""Ports that may be given by number or by the name of a container port. Pure."""

from __future__ import annotations

from typing import Any

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
