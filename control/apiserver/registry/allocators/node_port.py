"""Node ports: one number of the range per Service port (upstream: pkg/registry/core/service/portallocator)."""

from __future__ import annotations

from control.apiserver.registry.allocators.cluster_ip import AllocationError, RandomRange

FIRST_NODE_PORT = 30000
LAST_NODE_PORT = 32767
#: ports nobody asked for come from above this many of the range
_STATIC_PORTS = 86
_RANDOM_ATTEMPTS = 64


class NodePortRange:
    """The node ports and which are taken."""

    def __init__(self, random: RandomRange, *, first: int = FIRST_NODE_PORT, last: int = LAST_NODE_PORT) -> None:
        self._random = random
        self._first, self._last = first, last
        self._dynamic_first: int = first + _STATIC_PORTS if last - first > 2 * _STATIC_PORTS else first
        self._taken = set[int]()

    def take(self, port: int) -> None:
        """Reserve a port that was asked for. Raises AllocationError."""
        if not self._first <= port <= self._last:
            valid = f"{self._first}-{self._last}"
            raise AllocationError(f"provided port is not in the valid range. The range of valid ports is {valid}")
        if port in self._taken:
            raise AllocationError("provided port is already allocated")
        self._taken.add(port)

    def take_any(self) -> int:
        """Reserve a free port. Raises AllocationError."""
        for _ in range(_RANDOM_ATTEMPTS):
            port: int = self._random.randrange(self._dynamic_first, self._last + 1)
            if port not in self._taken:
                self._taken.add(port)
                return port
        for port in (*range(self._dynamic_first, self._last + 1), *range(self._first, self._dynamic_first)):
            if port not in self._taken:
                self._taken.add(port)
                return port
        raise AllocationError("range is full")

    def give_back(self, port: int) -> None:
        """Free a port."""
        self._taken.discard(port)

    def clear(self) -> None:
        """Free everything."""
        self._taken.clear()
