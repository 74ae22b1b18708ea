"""The eviction signals: what is observed of a node, in bytes or counts. Pure.

Names as in the documentation's page Node-pressure Eviction. `nodefs` is the file system of the agent's directory,
`imagefs` that of the engine's, where Docker keeps images, writable layers and logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from agent.node.host_facts import DiskUsage, HostUsage


class Signal(Enum):
    """What may run out."""

    MEMORY_AVAILABLE = "memory.available"
    ALLOCATABLE_MEMORY_AVAILABLE = "allocatableMemory.available"
    NODEFS_AVAILABLE = "nodefs.available"
    NODEFS_INODES_FREE = "nodefs.inodesFree"
    IMAGEFS_AVAILABLE = "imagefs.available"
    IMAGEFS_INODES_FREE = "imagefs.inodesFree"
    PID_AVAILABLE = "pid.available"


#: the resource that eviction reclaims, by signal; `inodes` and `pids` are the kubelet's own words
RESOURCES = {
    Signal.MEMORY_AVAILABLE: "memory",
    Signal.ALLOCATABLE_MEMORY_AVAILABLE: "memory",
    Signal.NODEFS_AVAILABLE: "ephemeral-storage",
    Signal.NODEFS_INODES_FREE: "inodes",
    Signal.IMAGEFS_AVAILABLE: "ephemeral-storage",
    Signal.IMAGEFS_INODES_FREE: "inodes",
    Signal.PID_AVAILABLE: "pids",
}
#: the condition that a node has while a threshold of the signal is met
CONDITIONS = {
    Signal.MEMORY_AVAILABLE: "MemoryPressure",
    Signal.ALLOCATABLE_MEMORY_AVAILABLE: "MemoryPressure",
    Signal.NODEFS_AVAILABLE: "DiskPressure",
    Signal.NODEFS_INODES_FREE: "DiskPressure",
    Signal.IMAGEFS_AVAILABLE: "DiskPressure",
    Signal.IMAGEFS_INODES_FREE: "DiskPressure",
    Signal.PID_AVAILABLE: "PIDPressure",
}
BYTE_RESOURCES = ("memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """How much of something there is, and how much of that is left: bytes, inodes or process ids."""

    available: int
    capacity: int


Observations = Mapping[Signal, Observation]


def observe_signals(usage: HostUsage, allocatable_memory: Observation | None = None) -> dict[Signal, Observation]:
    """The signals that can be told; a file system without a fixed number of inodes has none of them.

    `allocatable_memory` is what the node has for its Pods, and what they leave of it, where something is reserved.
    """
    found: dict[Signal, Observation] = {}
    if allocatable_memory is not None:
        found[Signal.ALLOCATABLE_MEMORY_AVAILABLE] = allocatable_memory
    if usage.memory_bytes:
        found[Signal.MEMORY_AVAILABLE] = Observation(
            available=usage.memory_available_bytes, capacity=usage.memory_bytes
        )
    _add_disk(found, usage.node_disk, Signal.NODEFS_AVAILABLE, Signal.NODEFS_INODES_FREE)
    _add_disk(found, usage.image_disk, Signal.IMAGEFS_AVAILABLE, Signal.IMAGEFS_INODES_FREE)
    if usage.pid_max:
        found[Signal.PID_AVAILABLE] = Observation(available=usage.pid_max - usage.pids, capacity=usage.pid_max)
    return found


def _add_disk(found: dict[Signal, Observation], disk: DiskUsage, available: Signal, inodes_free: Signal) -> None:
    if disk.capacity_bytes:
        found[available] = Observation(available=disk.available_bytes, capacity=disk.capacity_bytes)
    if disk.inodes:
        found[inodes_free] = Observation(available=disk.inodes_free, capacity=disk.inodes)
