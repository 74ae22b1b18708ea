"""What a Pod as a whole was given, as its status tells it (KEP-5419): `resources` and `allocatedResources`. Pure.

Part of `pod_status.py`. Upstream: convertToAPIPodLevelResourcesStatus of pkg/kubelet/kubelet_pods.go (v1.36), told of
every Pod, also of one without resources of its own. The kubelet reads the cgroup of a running Pod, where its numbers
have been rounded to shares and periods; here they are what the cgroup was made for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.pods.observed import ObservedPod
from agent.pods.pod_spec import init_containers, regular_containers
from agent.runtime.identity import parse_resources
from control.api.objects import Object, ReadOnlyObject
from control.api.pods import is_limited_as_a_whole, pod_limits, pod_requests
from control.api.quantity import NANOS_PER_UNIT, Quantity, QuantityFormat, format_quantity, parse_quantity

NANOS_PER_MILLI = NANOS_PER_UNIT // 1000
#: what a cgroup of a Pod limits for all its containers together
SHARED = ("cpu", "memory")


def compute_pod_resources(allocated: ReadOnlyObject, observed: ObservedPod, *, is_running: bool) -> Object:
    """The two fields. `allocated` is the Pod with the resources that the node has granted it."""
    fields: Object = {"resources": _held(allocated, observed) if is_running else _effective(allocated)}
    requests = _amounts(allocated, "requests")
    if requests:
        fields["allocatedResources"] = requests
    return fields


def _effective(pod: ReadOnlyObject) -> Object:
    return _without_empty({name: _amounts(pod, name) for name in ("limits", "requests")})


def _held(allocated: ReadOnlyObject, observed: ObservedPod) -> Object:
    """What the Pod's cgroup was made for: limits hold if the Pod itself or each of its containers has one."""
    pod = _as_made(allocated, observed)
    own = pod["spec"].get("resources") or {}
    limits, requests = _amounts(pod, "limits"), _amounts(pod, "requests")
    shared_limits = {name: limits[name] for name in SHARED if name in limits and is_limited_as_a_whole(pod, name)}
    shared_requests = {name: requests[name] for name in SHARED if name in requests}
    return _without_empty(
        {
            "limits": {**(own.get("limits") or {}), **shared_limits},
            "requests": {**(own.get("requests") or {}), **shared_requests},
        }
    )


def _as_made(allocated: ReadOnlyObject, observed: ObservedPod) -> ReadOnlyObject:
    """The Pod as it was when its cgroup got its limits, if that is known."""
    sandbox = observed.sandbox
    if sandbox is None or not sandbox.resources:
        return allocated
    made = parse_resources(sandbox.resources)
    spec = {
        **allocated["spec"],
        "resources": made["pod"],
        "containers": _with_resources(regular_containers(allocated), made["containers"]),
        "initContainers": _with_resources(init_containers(allocated), made["containers"]),
    }
    return {**allocated, "spec": spec}


def _with_resources(containers: Iterable[ReadOnlyObject], resources: Mapping[str, Any]) -> list[ReadOnlyObject]:
    return [{**container, "resources": resources.get(container["name"], {})} for container in containers]


def _amounts(pod: ReadOnlyObject, field: str) -> dict[str, str]:
    """The Pod's requests or limits in the format that they were written in."""
    amounts = pod_requests(pod) if field == "requests" else pod_limits(pod)
    formats = _formats(pod, field)
    return {
        name: format_quantity(
            Quantity(amount * (NANOS_PER_MILLI if name == "cpu" else NANOS_PER_UNIT), formats.get(name, _DECIMAL))
        )
        for name, amount in amounts.items()
    }


def _formats(pod: ReadOnlyObject, field: str) -> dict[str, QuantityFormat]:
    holders = [pod["spec"], *regular_containers(pod), *init_containers(pod)]
    formats: dict[str, QuantityFormat] = {}
    for holder in holders:
        for name, text in ((holder.get("resources") or {}).get(field) or {}).items():
            formats.setdefault(name, parse_quantity(str(text)).format)
    for name, text in (pod["spec"].get("overhead") or {}).items():
        formats.setdefault(name, parse_quantity(str(text)).format)
    return formats


def _without_empty(resources: Object) -> Object:
    return {name: amounts for name, amounts in resources.items() if amounts}


_DECIMAL = QuantityFormat.DECIMAL_SI
