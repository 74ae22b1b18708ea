"""What a node keeps from its Pods, and what is left for them: Node Allocatable. Pure.

Allocatable is capacity less the reservations and less what the hard eviction thresholds keep free, never less than
nothing; memory that is set aside as huge pages is not memory any more (documentation: Reserve Compute Resources for
System Daemons; pkg/kubelet/cm/node_container_manager_linux.go and nodestatus/setters.go, v1.36).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.cgroups.limits import HUGE_PAGES_PREFIX
from agent.node.eviction.signals import Signal
from agent.node.eviction.thresholds import Threshold, hard_amounts
from control.api.quantity import QuantityError, cpu_millis, format_millis, quantity_value

RESERVABLE = ("cpu", "memory", "ephemeral-storage")


class ReservationError(ValueError):
    """A reservation that cannot be meant, or that the node has not got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservations:
    """`--kube-reserved` and `--system-reserved`: cpu in thousandths, memory and storage in bytes."""

    kube: Mapping[str, int] = field(default_factory=dict)
    system: Mapping[str, int] = field(default_factory=dict)

    def of(self, resource: str) -> int:
        """Both together."""
        return self.kube.get(resource, 0) + self.system.get(resource, 0)


NOTHING_RESERVED = Reservations()


def parse_reserved(text: str) -> dict[str, int]:
    """Read `cpu=200m,memory=500Mi`. Raises ReservationError.

    `pid` is refused: the kubelet takes it from the limit of the Pods' cgroup, which there is none of.
    """
    reserved = {}
    for part in filter(None, (item.strip() for item in text.split(","))):
        name, _, value = (item.strip() for item in part.partition("="))
        if name not in RESERVABLE:
            raise ReservationError(f"cannot reserve {name!r} resource, only {', '.join(RESERVABLE)}")
        try:
            reserved[name] = cpu_millis(value) if name == "cpu" else quantity_value(value)
        except QuantityError as error:
            raise ReservationError(f"{part}: {error}") from error
        if reserved[name] < 0:
            raise ReservationError(f"resource quantity for {name!r} cannot be negative: {value}")
    return reserved


def allocatable_amounts(
    capacity: Mapping[str, int], reservations: Reservations, thresholds: Sequence[Threshold]
) -> dict[str, int]:
    """What is left of a capacity for Pods, in the same units (cpu in thousandths, the rest in units)."""
    kept = hard_amounts(
        thresholds,
        {
            Signal.MEMORY_AVAILABLE: capacity.get("memory", 0),
            Signal.NODEFS_AVAILABLE: capacity.get("ephemeral-storage", 0),
        },
    )
    held = {
        "memory": kept.get(Signal.MEMORY_AVAILABLE, 0) + _huge_pages(capacity),
        "ephemeral-storage": kept.get(Signal.NODEFS_AVAILABLE, 0),
    }
    return {name: max(0, amount - reservations.of(name) - held.get(name, 0)) for name, amount in capacity.items()}


def _huge_pages(capacity: Mapping[str, int]) -> int:
    return sum(amount for name, amount in capacity.items() if name.startswith(HUGE_PAGES_PREFIX))


def check_reservations(reservations: Reservations, capacity: Mapping[str, int]) -> None:
    """Raise ReservationError in upstream's words if more is reserved than there is."""
    for name in RESERVABLE:
        reserved = reservations.of(name)
        if name in capacity and reserved > capacity[name]:
            held, had = (format_millis(item) if name == "cpu" else str(item) for item in (reserved, capacity[name]))
            raise ReservationError(
                f'resource "{name}" has a reservation of {held} but capacity of {had}. '
                "Expected capacity >= reservation."
            )
