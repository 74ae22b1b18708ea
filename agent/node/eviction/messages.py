"""The words of an eviction: status.message of the Pod and its Event, as the kubelet's. Pure.

Texts of evictionMessage (pkg/kubelet/eviction/helpers.go, v1.36), the blank at their end included.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from agent.node.eviction.pod_usage import PodUse
from agent.node.eviction.signals import BYTE_RESOURCES, RESOURCES, Observation, Observations
from agent.node.eviction.thresholds import Threshold
from control.api.objects import ReadOnlyObject
from control.api.pods import containers_of, init_containers_of
from control.api.quantity import format_bytes, format_count, quantity_value

REASON = "Evicted"


def eviction_message(
    pod: ReadOnlyObject, use: PodUse | None, resource: str, due: Collection[Threshold], observations: Observations
) -> tuple[str, dict[str, str]]:
    """Message and the Event's annotations for a Pod that makes room for a resource."""
    message = f"The node was low on resource: {resource}. "
    for threshold in due:
        observed = observations.get(threshold.signal)
        if RESOURCES[threshold.signal] == resource and observed is not None:
            message += (
                f"Threshold quantity: {_threshold_text(threshold, observed)}, "
                f"available: {_amount_text(observed.available, resource)}. "
            )
            break
    if use is None:
        return message, {}
    exceeding: dict[str, str] = {}
    for name, used, request in _used_and_requested(pod, use, resource):
        if used > quantity_value(request):
            exceeding[name] = format_bytes(used)
            message += (
                f"Container {name} was using {format_bytes(used)}, request is {request}, "
                f"has larger consumption of {resource}. "
            )
    return message, _annotations(exceeding, resource)


def pressure_message(conditions: Collection[str]) -> str:
    """Why a node under pressure refuses a Pod."""
    return f"The node had condition: [{' '.join(sorted(conditions))}]. "


def _annotations(exceeding: Mapping[str, str], resource: str) -> dict[str, str]:
    return {
        "offending_containers": ",".join(exceeding),
        "offending_containers_usage": ",".join(exceeding.values()),
        "starved_resource": resource,
    }


def _used_and_requested(pod: ReadOnlyObject, use: PodUse, resource: str) -> list[tuple[str, int, str]]:
    """Per container of memory or disk: name, bytes used, the request as it is written."""
    if resource not in BYTE_RESOURCES:
        return []
    found = []
    for container in (*containers_of(pod), *init_containers_of(pod)):
        used = use.containers.get(container["name"])
        if used is not None:
            requests = (container.get("resources") or {}).get("requests") or {}
            amount = used.memory_bytes if resource == "memory" else used.files.used_bytes
            found.append((container["name"], amount, str(requests.get(resource, "0"))))
    return found


def _threshold_text(threshold: Threshold, observed: Observation) -> str:
    return threshold.value.text or format_bytes(threshold.value.of(observed.capacity))


def _amount_text(amount: int, resource: str) -> str:
    return format_bytes(amount) if resource in BYTE_RESOURCES else format_count(amount)
