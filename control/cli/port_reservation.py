"""A port belongs to its cluster while the cluster's supervisor runs, also in the moment in which the process that
listens there crashed and starts again. Standard library only, the supervisor stays small."""

from __future__ import annotations

import socket
import sys


def reserve_port(port: int) -> socket.socket | None:
    """Reserve a TCP port of this host until the returned socket is closed; None if somebody has reserved it.

    An abstract Unix socket has the scope of a port, the network namespace: clusters of other users and of other data
    directories see it, and it goes with its process, however that ends. Elsewhere than on Linux, which alone has
    them, nobody sees the reservation.
    """
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if sys.platform == "linux":
        try:
            holder.bind(f"\0podling/port/{port}")
        except OSError:
            holder.close()
            return None
    return holder


def is_reserved(port: int) -> bool:
    """Whether a supervisor on this host has reserved the port."""
    holder = reserve_port(port)
    if holder is None:
        return True
    holder.close()
    return False
