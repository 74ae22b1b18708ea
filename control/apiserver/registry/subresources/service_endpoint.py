"""Which endpoint of a Service a proxied request goes to. Pure but for the dice.

Upstream: ResourceLocation of pkg/registry/core/service/storage (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from control.api.objects import ReadOnlyObject


class Dice(Protocol):
    """The part of random.Random that picks where to begin."""

    def randrange(self, start: int, stop: int, /) -> int:
        """Return start <= n < stop."""
        ...


def choose_endpoint(
    endpoints: ReadOnlyObject,
    port_name: str,
    *,
    find_pod: Callable[[str], ReadOnlyObject | None],
    random: Dice,
) -> tuple[str, int] | None:
    """A random ready address of a port, and its number; None if there is none.

    Only addresses of Pods of the namespace count (`find_pod` finds them by name): whoever may write Endpoints could
    otherwise send the API server anywhere.
    """
    namespace = endpoints["metadata"]["namespace"]
    for subset in _in_turn(endpoints.get("subsets") or (), random):
        for port in subset.get("ports") or ():
            if port.get("name", "") != port_name:
                continue
            for address in _in_turn(subset.get("addresses") or (), random):
                if _is_of_pod(address, namespace, find_pod):
                    return address["ip"], port["port"]
    return None


def _in_turn(items: Sequence[Any], random: Dice) -> Iterator[Any]:
    """All items, beginning with a random one."""
    first = random.randrange(0, len(items)) if items else 0
    yield from items[first:]
    yield from items[:first]


def _is_of_pod(address: ReadOnlyObject, namespace: str, find_pod: Callable[[str], ReadOnlyObject | None]) -> bool:
    target = address.get("targetRef")
    if target is None or target.get("namespace", "") != namespace:
        return False
    pod = find_pod(target.get("name", ""))
    pod_ips = ((pod or {}).get("status") or {}).get("podIPs") or ()
    return any(item["ip"] == address["ip"] for item in pod_ips)
