"""What a node's Events tell of changes of its status: reasons and messages of the kubelet's. Pure.

pkg/kubelet/nodestatus/setters.go and kubelet_node_status.go, v1.36.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.node.node_status import PRESSURE_WORDS
from control.api.meta import find_condition
from control.api.objects import ReadOnlyObject


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """Of the Node."""

    type: str
    reason: str
    message: str


STARTING_EVENT = NodeEvent("Normal", "Starting", "Starting kubelet.")
ALLOCATABLE_ENFORCED = NodeEvent("Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods")


def status_events(name: str, old: ReadOnlyObject, new: ReadOnlyObject) -> Iterator[NodeEvent]:
    """From one status to the next; of a node that is new the first is empty.

    A condition of pressure that was not known before is told, whether a node is ready is told when that changes.
    """
    before, boot_id = (old.get("nodeInfo") or {}).get("bootID") or "", new["nodeInfo"]["bootID"]
    if before and before != boot_id:
        yield NodeEvent("Warning", "Rebooted", f"Node {name} has been rebooted, boot id: {boot_id}")
    for condition in new["conditions"]:
        known = find_condition(old.get("conditions") or (), condition["type"])
        if known is not None and known["status"] == condition["status"]:
            continue
        if condition["type"] in PRESSURE_WORDS:
            yield is_now(name, condition["reason"].replace("Kubelet", "Node", 1))
        elif known is not None:
            yield is_now(name, "NodeReady" if condition["status"] == "True" else "NodeNotReady")


def schedulable_event(name: str, old: ReadOnlyObject, new: ReadOnlyObject) -> NodeEvent | None:
    """A node that was cordoned, or is no longer."""
    was, is_cordoned = (bool((node.get("spec") or {}).get("unschedulable")) for node in (old, new))
    if was == is_cordoned:
        return None
    return is_now(name, "NodeNotSchedulable" if is_cordoned else "NodeSchedulable")


def is_now(name: str, state: str) -> NodeEvent:
    """In the kubelet's words."""
    return NodeEvent("Normal", state, f"Node {name} status is now: {state}")
