"""In-place resize: which containers run with other resources than their spec wants, and whether the node has the room.

Pure. The kubelet's allocation does the same (pkg/kubelet/allocation/allocation_manager.go, v1.36; KEP-1287): a Pod is
synced with what it has been allocated, and a wish that does not fit waits in the condition PodResizePending.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.pods.observed import ObservedContainer, ObservedPod
from agent.pods.pod_spec import all_containers, init_containers, regular_containers
from control.api.fit import allocatable_of, held_by, insufficient_resources
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import pod_requests
from control.api.quantity import canonical_quantity

RESIZABLE = ("cpu", "memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingResize:
    """Why a Pod keeps the resources it has: upstream's reason (Deferred, Infeasible) and message."""

    reason: str
    message: str


def changed_resources(container: ReadOnlyObject, running: ObservedContainer) -> list[str]:
    """The resources of which a running container has another amount than its spec says."""
    if not running.resources:
        return []
    wanted, held = container.get("resources") or {}, json.loads(running.resources)
    return [name for name in RESIZABLE if _amounts(wanted, name) != _amounts(held, name)]


def needs_restart(container: ReadOnlyObject, changed: Iterable[str]) -> bool:
    """Whether the container's resize policy wants a restart for one of the changed resources."""
    policies = {item["resourceName"]: item.get("restartPolicy") for item in container.get("resizePolicy") or ()}
    return any(policies.get(name) == "RestartContainer" for name in changed)


def is_resize_wanted(pod: ReadOnlyObject, observed: ObservedPod) -> bool:
    """Whether any running container has other resources than its spec says."""
    return any(_running_changes(container, observed) for container in all_containers(pod))


def judge_resize(pod: ReadOnlyObject, node: ReadOnlyObject, others: Iterable[ReadOnlyObject]) -> PendingResize | None:
    """Whether the node has room for the Pod as its spec wants it, beside the others; None if it has."""
    allocatable = allocatable_of(node)
    requests = {name: amount for name, amount in pod_requests(pod).items() if name in RESIZABLE}
    too_large = [name for name in RESIZABLE if requests.get(name, 0) > allocatable.get(name, 0)]
    if too_large:
        name = too_large[0]
        message = f"requested: {requests[name]}, capacity: {allocatable.get(name, 0)}"
        return PendingResize(reason="Infeasible", message=f"Node didn't have enough capacity: {name}, {message}")
    lacking = insufficient_resources(
        requests, allocatable=allocatable, used=held_by(others), pod_count=0, pod_count_max=1
    )
    return PendingResize(reason="Deferred", message=lacking[0].refusal) if lacking else None


def allocated_pod(pod: ReadOnlyObject, observed: ObservedPod) -> ReadOnlyObject:
    """The Pod with the resources that its running containers have: what it is synced with while a resize is pending."""
    spec: Object = dict(pod["spec"])
    for field, containers in (("initContainers", init_containers(pod)), ("containers", regular_containers(pod))):
        if containers:
            spec[field] = [_allocated(container, observed) for container in containers]
    return {**pod, "spec": spec}


def _allocated(container: ReadOnlyObject, observed: ObservedPod) -> ReadOnlyObject:
    running = _running(container, observed)
    if running is None or not running.resources:
        return container
    return {**container, "resources": json.loads(running.resources)}


def _running_changes(container: ReadOnlyObject, observed: ObservedPod) -> list[str]:
    running = _running(container, observed)
    return changed_resources(container, running) if running is not None else []


def _running(container: ReadOnlyObject, observed: ObservedPod) -> ObservedContainer | None:
    newest = observed.find(container["name"])
    return newest if newest is not None and newest.is_running else None


def _amounts(resources: Mapping[str, Any], name: str) -> list[str]:
    """Request and limit in canonical form: `1` and `1000m` are the same CPU."""
    texts = (str((resources.get(field) or {}).get(name, "")) for field in ("requests", "limits"))
    return [canonical_quantity(text) if text else "" for text in texts]
