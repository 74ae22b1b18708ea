"""In-place resize: which containers run with other resources than their spec wants, and whether the node has the room.

Pure. The kubelet's allocation does the same (pkg/kubelet/allocation/allocation_manager.go, v1.36; KEP-1287): a Pod is
synced with what it has been allocated, and a wish that does not fit waits in the condition PodResizePending.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.pods.actions import Action, ResizeContainer, ResizePod, StopContainer
from agent.pods.observed import ObservedContainer, ObservedPod
from agent.pods.pod_spec import all_containers, init_containers, regular_containers
from agent.runtime.identity import format_pod_resources, parse_resources
from control.api.fit import allocatable_of, held_by, insufficient_resources
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import pod_requests, priority_of, qos_class
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
    wanted, held = container.get("resources") or {}, parse_resources(running.resources)
    return [name for name in RESIZABLE if _differ(wanted, held, name)]


def needs_restart(container: ReadOnlyObject, changed: Iterable[str]) -> bool:
    """Whether the container's resize policy wants a restart for one of the changed resources."""
    policies = {item["resourceName"]: item.get("restartPolicy") for item in container.get("resizePolicy") or ()}
    return any(policies.get(name) == "RestartContainer" for name in changed)


def inherited_changes(pod: ReadOnlyObject, container: ReadOnlyObject, observed: ObservedPod) -> list[str]:
    """The resources of which a container without a limit of its own had another limit of its Pod's when it began."""
    held = held_pod_resources(observed)
    if held is None:
        return []
    wanted = pod["spec"].get("resources") or {}
    own = (container.get("resources") or {}).get("limits") or {}
    return [name for name in RESIZABLE if name not in own and _limit(wanted, name) != _limit(held, name)]


def held_pod_resources(observed: ObservedPod) -> Mapping[str, Any] | None:
    """The Pod's own resources (KEP-2837) that its cgroup was made for; None where that is not known."""
    sandbox = observed.sandbox
    if sandbox is None or not sandbox.is_running or not sandbox.resources:
        return None
    held: Mapping[str, Any] = parse_resources(sandbox.resources)["pod"]
    return held


def pod_resize_actions(pod: ReadOnlyObject, observed: ObservedPod, actions: Sequence[Action]) -> list[Action]:
    """The actions, with the Pod's cgroup growing before containers may and shrinking after all of them have.

    While one is being restarted with other resources, the cgroup does not shrink.
    """
    sandbox = observed.sandbox
    if sandbox is None or not sandbox.is_running or not sandbox.resources:
        return list(actions)
    is_changed = sandbox.resources != format_pod_resources(pod)
    if not is_changed and not any(isinstance(action, ResizeContainer) for action in actions):
        return list(actions)
    cause = "resources of the spec changed"
    first = ResizePod(sandbox_id=sandbox.id, cause=cause, raise_only=True)
    last = ResizePod(sandbox_id=sandbox.id, cause=cause)
    is_restarting = bool(observed.stopping) or any(isinstance(action, StopContainer) for action in actions)
    return [first, *actions] if is_restarting else [first, *actions, last]


def is_resize_wanted(pod: ReadOnlyObject, observed: ObservedPod) -> bool:
    """Whether any running container, or the Pod as a whole, has other resources than its spec says."""
    held = held_pod_resources(observed)
    wanted = pod["spec"].get("resources") or {}
    if held is not None and any(_differ(wanted, held, name) for name in RESIZABLE):
        return True
    return any(_running_changes(container, observed) for container in all_containers(pod))


def judge_resize(
    pod: ReadOnlyObject, node: ReadOnlyObject, others: Iterable[ReadOnlyObject], ahead: Sequence[ReadOnlyObject] = ()
) -> PendingResize | None:
    """Whether the node has room for the Pod as its spec wants it, beside the others; None if it has.

    `ahead` are those of the others, as they want to be, that get what they wait for before a Pod that wants more.
    """
    allocatable = allocatable_of(node)
    requests, used = _resizable(pod), held_by(others)
    too_large = [name for name in RESIZABLE if requests.get(name, 0) > allocatable.get(name, 0)]
    if too_large:
        name = too_large[-1]  # of both memory is named
        message = f"requested: {requests[name]}, capacity: {allocatable.get(name, 0)}"
        return PendingResize(reason="Infeasible", message=f"Node didn't have enough capacity: {name}, {message}")
    if any(amount > 0 for amount in _growth(pod).values()):
        for other in ahead:
            growth = _growth(other)
            if all(used.get(name, 0) + amount <= allocatable.get(name, 0) for name, amount in growth.items()):
                used |= {name: used.get(name, 0) + amount for name, amount in growth.items()}
    lacking = insufficient_resources(requests, allocatable=allocatable, used=used, pod_count=0, pod_count_max=1)
    return PendingResize(reason="Deferred", message=lacking[0].refusal) if lacking else None


def choose_ahead(pod: ReadOnlyObject, waiting: Sequence[ReadOnlyObject], *, longer: int) -> list[ReadOnlyObject]:
    """Those of the Pods that wait for a resize whose turn comes before this Pod's.

    Priority decides, then whether a Pod is Guaranteed, then the time; the first `longer` wait for longer than this one.
    """
    before = [item for place, item in enumerate(waiting) if (_rank(item), place >= longer) < (_rank(pod), True)]
    return sorted(before, key=_rank)


def as_allocated(pod: ReadOnlyObject) -> ReadOnlyObject:
    """The Pod with the requests that it has been allocated by its status, in place of those it wants."""
    status, spec = pod.get("status") or {}, dict(pod["spec"])
    for field, statuses in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
        held = {item["name"]: item["allocatedResources"] for item in status.get(statuses) or () if _allocation(item)}
        if held:
            spec[field] = [_with_requests(item, held.get(item["name"])) for item in spec.get(field) or ()]
    return {**pod, "spec": _with_requests(spec, _allocation(status) if spec.get("resources") else None)}


def _allocation(status: ReadOnlyObject) -> ReadOnlyObject | None:
    return status.get("allocatedResources")


def _with_requests(holder: ReadOnlyObject, requests: ReadOnlyObject | None) -> ReadOnlyObject:
    if requests is None:
        return holder
    return {**holder, "resources": {**(holder.get("resources") or {}), "requests": requests}}


def _growth(pod: ReadOnlyObject) -> dict[str, int]:
    """What a Pod wants beyond what it has."""
    held = _resizable(as_allocated(pod))
    return {name: amount - held.get(name, 0) for name, amount in _resizable(pod).items()}


def _resizable(pod: ReadOnlyObject) -> dict[str, int]:
    return {name: amount for name, amount in pod_requests(pod).items() if name in RESIZABLE}


def _rank(pod: ReadOnlyObject) -> tuple[int, bool]:
    return -priority_of(pod), qos_class(pod) != "Guaranteed"


def allocated_pod(pod: ReadOnlyObject, observed: ObservedPod) -> ReadOnlyObject:
    """The Pod with the resources that its running containers have: what it is synced with while a resize is pending."""
    spec: Object = dict(pod["spec"])
    for field, containers in (("initContainers", init_containers(pod)), ("containers", regular_containers(pod))):
        if containers:
            spec[field] = [_allocated(container, observed) for container in containers]
    held = held_pod_resources(observed)
    if held:
        spec["resources"] = held
    return {**pod, "spec": spec}


def _allocated(container: ReadOnlyObject, observed: ObservedPod) -> ReadOnlyObject:
    running = _running(container, observed)
    if running is None or not running.resources:
        return container
    return {**container, "resources": parse_resources(running.resources)}


def _running_changes(container: ReadOnlyObject, observed: ObservedPod) -> list[str]:
    running = _running(container, observed)
    return changed_resources(container, running) if running is not None else []


def _running(container: ReadOnlyObject, observed: ObservedPod) -> ObservedContainer | None:
    newest = observed.find(container["name"])
    return newest if newest is not None and newest.is_running else None


def _differ(wanted: Mapping[str, Any], held: Mapping[str, Any], name: str) -> bool:
    """Whether they have other amounts of a resource; nearly always they are the same to the letter."""
    return wanted != held and _amounts(wanted, name) != _amounts(held, name)


def _limit(resources: Mapping[str, Any], name: str) -> str:
    return _amounts(resources, name)[1]


def _amounts(resources: Mapping[str, Any], name: str) -> list[str]:
    """Request and limit in canonical form: `1` and `1000m` are the same CPU."""
    texts = (str((resources.get(field) or {}).get(name, "")) for field in ("requests", "limits"))
    return [canonical_quantity(text) if text else "" for text in texts]
