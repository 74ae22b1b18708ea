"""Pod arithmetic: what a Pod asks for, its quality of service, and the questions everybody asks of its status."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from control.api.meta import find_condition, is_condition_true, is_deleting
from control.api.objects import ReadOnlyObject
from control.api.quantity import NANOS_PER_UNIT, QuantityError, parse_quantity
from control.api.timestamps import parse_time

#: what the scheduler's scores assume of a container that asks for nothing (upstream's non-zero defaults)
ASSUMED_REQUESTS: Mapping[str, str] = {"cpu": "100m", "memory": "200Mi"}

#: priority of system-cluster-critical: users' own classes are below it
SYSTEM_CRITICAL_PRIORITY = 2_000_000_000

_NANOS_PER_MILLI = 10**6
_POD_LEVEL_RESOURCES = ("cpu", "memory")
_NO_CONTAINERS: Sequence[ReadOnlyObject] = ()

NanoAmounts = dict[str, int]


def containers_of(pod: ReadOnlyObject) -> Sequence[ReadOnlyObject]:
    """spec.containers."""
    containers: Sequence[ReadOnlyObject] = pod["spec"].get("containers") or _NO_CONTAINERS
    return containers


def init_containers_of(pod: ReadOnlyObject) -> Sequence[ReadOnlyObject]:
    """spec.initContainers, sidecars included."""
    containers: Sequence[ReadOnlyObject] = pod["spec"].get("initContainers") or _NO_CONTAINERS
    return containers


def ephemeral_containers_of(pod: ReadOnlyObject) -> Sequence[ReadOnlyObject]:
    """spec.ephemeralContainers."""
    containers: Sequence[ReadOnlyObject] = pod["spec"].get("ephemeralContainers") or _NO_CONTAINERS
    return containers


def all_containers_of(pod: ReadOnlyObject) -> list[ReadOnlyObject]:
    """Init containers, containers and ephemeral containers, in this order."""
    return [*init_containers_of(pod), *containers_of(pod), *ephemeral_containers_of(pod)]


def is_sidecar(init_container: ReadOnlyObject) -> bool:
    """Whether an init container keeps running beside the containers (restartPolicy Always)."""
    return init_container.get("restartPolicy") == "Always"


def phase_of(pod: ReadOnlyObject) -> str:
    """status.phase, empty when absent."""
    return str((pod.get("status") or {}).get("phase") or "")


def is_terminal(pod: ReadOnlyObject) -> bool:
    """Whether the Pod has finished for good."""
    return phase_of(pod) in ("Succeeded", "Failed")


def is_active(pod: ReadOnlyObject) -> bool:
    """Whether the Pod neither finished nor is being deleted: what controllers count."""
    return not is_terminal(pod) and not is_deleting(pod)


def conditions_of(pod: ReadOnlyObject) -> Sequence[Mapping[str, Any]]:
    """status.conditions, empty when absent."""
    conditions: Sequence[Mapping[str, Any]] = (pod.get("status") or {}).get("conditions") or ()
    return conditions


def is_pod_ready(pod: ReadOnlyObject) -> bool:
    """Whether the Ready condition is True."""
    return is_condition_true(conditions_of(pod), "Ready")


def is_pod_available(pod: ReadOnlyObject, min_ready_seconds: int, now: datetime) -> bool:
    """Whether the Pod has been ready for at least so long."""
    condition = find_condition(conditions_of(pod), "Ready")
    if condition is None or condition.get("status") != "True":
        return False
    if not min_ready_seconds:
        return True
    since = condition.get("lastTransitionTime")
    return bool(since) and parse_time(str(since)) + timedelta(seconds=min_ready_seconds) <= now


def node_name_of(pod: ReadOnlyObject) -> str:
    """Name of the node the Pod is bound to, empty when it is not."""
    return str(pod["spec"].get("nodeName") or "")


def priority_of(pod: ReadOnlyObject) -> int:
    """spec.priority, 0 when absent."""
    return int(pod["spec"].get("priority") or 0)


def is_mirror_pod(pod: ReadOnlyObject) -> bool:
    """Whether the Pod mirrors a static Pod of its node."""
    annotations = pod["metadata"].get("annotations") or {}
    return "kubernetes.io/config.mirror" in annotations


def is_static_pod(pod: ReadOnlyObject) -> bool:
    """Whether the node has the Pod from somewhere else than the API."""
    annotations = pod["metadata"].get("annotations") or {}
    return str(annotations.get("kubernetes.io/config.source") or "api") != "api"


def is_critical(pod: ReadOnlyObject) -> bool:
    """Whether a node needs the Pod to work: never evicted, and taken under pressure (upstream's IsCriticalPod)."""
    return is_static_pod(pod) or is_mirror_pod(pod) or priority_of(pod) >= SYSTEM_CRITICAL_PRIORITY


def amounts_of(resources: Mapping[str, Any] | None) -> NanoAmounts:
    """Exact amounts of a resource list in nano-units; what cannot be parsed counts as nothing."""
    amounts: NanoAmounts = {}
    for name, text in (resources or {}).items():
        try:
            amounts[name] = parse_quantity(str(text)).nanos
        except QuantityError:
            continue
    return amounts


def whole_amounts(amounts: Mapping[str, int]) -> dict[str, int]:
    """Round nano-units up to what the scheduler counts in: thousandths of cpu, units of everything else."""
    return {
        name: -(-nanos // (_NANOS_PER_MILLI if name == "cpu" else NANOS_PER_UNIT)) for name, nanos in amounts.items()
    }


def resource_amounts(resources: Mapping[str, Any] | None) -> dict[str, int]:
    """A resource list (requests, capacity, allocatable) as integers: cpu in thousandths, the rest in units."""
    return whole_amounts(amounts_of(resources))


def pod_requests(
    pod: ReadOnlyObject, *, assumed: Mapping[str, str] | None = None, use_status: bool = False
) -> dict[str, int]:
    """What the scheduler sets aside: cpu in thousandths, the rest in units.

    Containers and sidecars add up, plain init containers only raise the maximum, pod-level resources replace the sum,
    overhead comes on top. `assumed` stands in for containers that name no request. `use_status` also counts what a
    running Pod still holds while it is being resized.
    """
    amounts = _requests_by_status(pod, assumed) if use_status else _aggregate(pod, _getter("requests", assumed))
    if use_status:
        amounts.update(_pod_level_requests_by_status(pod))
    else:
        _apply_pod_level(amounts, pod, "requests")
    _add(amounts, amounts_of(pod["spec"].get("overhead")))
    return whole_amounts(amounts)


def container_requests_sum(pod: ReadOnlyObject) -> dict[str, int]:
    """What the Pod's containers ask for by themselves, in the same units."""
    return whole_amounts(_aggregate(pod, _getter("requests", None)))


def pod_limits(pod: ReadOnlyObject) -> dict[str, int]:
    """Limits in the same units; overhead is added to what is limited."""
    amounts = _aggregate(pod, _getter("limits", None))
    _apply_pod_level(amounts, pod, "limits")
    for name, nanos in amounts_of(pod["spec"].get("overhead")).items():
        if amounts.get(name):
            amounts[name] += nanos
    return whole_amounts(amounts)


def is_limited_as_a_whole(pod: ReadOnlyObject, name: str) -> bool:
    """Whether all containers together cannot exceed an amount: the Pod limits it itself (KEP-2837), or each does."""
    if amounts_of((pod["spec"].get("resources") or {}).get("limits")).get(name):
        return True
    return all(
        amounts_of((container.get("resources") or {}).get("limits")).get(name)
        for container in (*containers_of(pod), *init_containers_of(pod))
    )


def _getter(field: str, assumed: Mapping[str, str] | None) -> Callable[[ReadOnlyObject], NanoAmounts]:
    missing = amounts_of(assumed)

    def amounts(container: ReadOnlyObject) -> NanoAmounts:
        own = amounts_of((container.get("resources") or {}).get(field))
        return {**missing, **own} if missing else own

    return amounts


def _requests_by_status(pod: ReadOnlyObject, assumed: Mapping[str, str] | None) -> NanoAmounts:
    """Largest of wanted, allocated and actual requests (a resize the node refused does not count as wanted)."""
    status = pod.get("status") or {}
    statuses = {
        item["name"]: item
        for field in ("containerStatuses", "initContainerStatuses")
        for item in status.get(field) or ()
        if "allocatedResources" in item or "resources" in item
    }
    spec_amounts = _getter("requests", assumed)
    if not statuses:
        return _aggregate(pod, spec_amounts)
    refused = _is_resize_refused(pod)

    def allocated(container: ReadOnlyObject) -> NanoAmounts:
        item = statuses.get(container["name"]) or {}
        if "allocatedResources" in item:
            return amounts_of(item["allocatedResources"])
        return {} if refused else spec_amounts(container)

    def actual(container: ReadOnlyObject) -> NanoAmounts:
        resources = (statuses.get(container["name"]) or {}).get("resources") or {}
        return amounts_of(resources["requests"]) if "requests" in resources else allocated(container)

    amounts = {} if refused else _aggregate(pod, spec_amounts)
    _raise_to(amounts, _aggregate(pod, allocated))
    _raise_to(amounts, _aggregate(pod, actual))
    return amounts


def _aggregate(pod: ReadOnlyObject, amounts: Callable[[ReadOnlyObject], NanoAmounts]) -> NanoAmounts:
    """Sum of containers and sidecars, at least the peak while initialising (sidecars started so far plus one)."""
    total: NanoAmounts = {}
    for container in containers_of(pod):
        _add(total, amounts(container))
    init_containers = init_containers_of(pod)
    if not init_containers:
        return total
    sidecars: NanoAmounts = {}
    peak: NanoAmounts = {}
    for container in init_containers:
        own = amounts(container)
        if is_sidecar(container):
            _add(total, own)
            _add(sidecars, own)
            _raise_to(peak, sidecars)
        else:
            _add(own, sidecars)
            _raise_to(peak, own)
    _raise_to(total, peak)
    return total


def _add(target: NanoAmounts, more: Mapping[str, int]) -> None:
    for name, nanos in more.items():
        target[name] = target.get(name, 0) + nanos


def _raise_to(target: NanoAmounts, other: Mapping[str, int]) -> None:
    for name, nanos in other.items():
        if name not in target or nanos > target[name]:
            target[name] = nanos


def _is_pod_level(name: str) -> bool:
    return name in _POD_LEVEL_RESOURCES or name.startswith("hugepages-")


def _is_resize_refused(pod: ReadOnlyObject) -> bool:
    pending = find_condition(conditions_of(pod), "PodResizePending")
    return pending is not None and pending.get("reason") == "Infeasible"


def _pod_level_requests_by_status(pod: ReadOnlyObject) -> NanoAmounts:
    """The Pod's own requests: the largest of wanted, allocated and actual ones, as for containers (KEP-5419).

    A status tells them with the overhead, which is added by whoever asks.
    """
    wanted: NanoAmounts = {}
    _apply_pod_level(wanted, pod, "requests")
    status = pod.get("status") or {}
    overhead = amounts_of(pod["spec"].get("overhead"))
    held: NanoAmounts = {}
    for reported in (status.get("allocatedResources"), (status.get("resources") or {}).get("requests")):
        own = {name: nanos - overhead.get(name, 0) for name, nanos in amounts_of(reported).items() if name in wanted}
        _raise_to(held, own)
    if not held or not _is_resize_refused(pod):
        _raise_to(held, wanted)
    return held


def _apply_pod_level(amounts: NanoAmounts, pod: ReadOnlyObject, field: str) -> None:
    for name, nanos in amounts_of((pod["spec"].get("resources") or {}).get(field)).items():
        if _is_pod_level(name):
            amounts[name] = nanos


def qos_class(pod: ReadOnlyObject) -> str:
    """Guaranteed, Burstable or BestEffort, from cpu and memory of containers or of the Pod itself."""
    pod_level = pod["spec"].get("resources") or {}
    if any(_is_pod_level(name) for field in ("requests", "limits") for name in pod_level.get(field) or ()):
        holders: Iterable[Mapping[str, Any]] = (pod_level,)
    else:
        containers = (*containers_of(pod), *init_containers_of(pod))
        holders = [container.get("resources") or {} for container in containers]
    requests: NanoAmounts = {}
    limits: NanoAmounts = {}
    all_limited = True
    for holder in holders:
        limited = _compute_amounts(holder.get("limits"))
        _add(requests, _compute_amounts(holder.get("requests")))
        _add(limits, limited)
        all_limited = all_limited and len(limited) == len(_POD_LEVEL_RESOURCES)
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if all_limited and requests == limits else "Burstable"


def _compute_amounts(resources: Mapping[str, Any] | None) -> NanoAmounts:
    return {name: nanos for name, nanos in amounts_of(resources).items() if name in _POD_LEVEL_RESOURCES and nanos > 0}
