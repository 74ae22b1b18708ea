"""Does a Pod fit a node: resources, host ports, node name, affinity. Used by the scheduler and by a node's admission.

Reasons are upstream's words; they end up in Events, conditions and the status of refused Pods.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from control.api.affinity import matches_node
from control.api.meta import labels_of
from control.api.objects import ReadOnlyObject
from control.api.pods import (
    containers_of,
    init_containers_of,
    is_sidecar,
    is_static_pod,
    node_name_of,
    pod_requests,
    resource_amounts,
)
from control.api.taints import NO_EXECUTE, find_untolerated_taint, taints_of, tolerations_of

NODE_NAME_REASON = "node(s) didn't match the requested node name"
NODE_AFFINITY_REASON = "node(s) didn't match Pod's node affinity/selector"
NODE_PORTS_REASON = "node(s) didn't have free ports for the requested pod ports"
UNSCHEDULABLE_REASON = "node(s) were unschedulable"
TAINTS_REASON = "node(s) had untolerated taint(s)"

# What the kubelet says of taints, where the scheduler has newer words.
NODE_TAINTS_REASON = "node(s) had taints that the pod didn't tolerate"

OS_LABEL = "kubernetes.io/os"

_ANY_ADDRESS = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the node that a container asks for. Address `0.0.0.0` is every address."""

    address: str
    protocol: str
    port: int

    def conflicts_with(self, other: HostPort) -> bool:
        """Whether both cannot be had on one node."""
        if self.port != other.port or self.protocol != other.protocol:
            return False
        return self.address == other.address or _ANY_ADDRESS in (self.address, other.address)


def host_ports_of(pod: ReadOnlyObject) -> tuple[HostPort, ...]:
    """Host ports of containers and sidecars; in the host's network container ports are host ports by defaulting."""
    ports = []
    sidecars = [container for container in init_containers_of(pod) if is_sidecar(container)]
    for container in (*containers_of(pod), *sidecars):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                address = port.get("hostIP") or _ANY_ADDRESS
                ports.append(HostPort(address, port.get("protocol") or "TCP", int(port["hostPort"])))
    return tuple(ports)


def has_port_conflict(wanted: Iterable[HostPort], used: Collection[HostPort]) -> bool:
    """Whether any wanted port clashes with a used one."""
    return bool(used) and any(port.conflicts_with(other) for port in wanted for other in used)


@dataclass(frozen=True, slots=True)
class InsufficientResource:
    """A resource a node lacks: cpu in thousandths, the rest in units. `pods` is the number of Pods."""

    resource: str
    requested: int
    used: int
    capacity: int

    @property
    def reason(self) -> str:
        """Upstream's words: `Insufficient cpu`, `Too many pods`."""
        return "Too many pods" if self.resource == "pods" else f"Insufficient {self.resource}"

    @property
    def refusal(self) -> str:
        """A node's words for it, as the kubelet's."""
        return (
            f"Node didn't have enough resource: {self.resource}, requested: {self.requested}, used: {self.used},"
            f" capacity: {self.capacity}"
        )

    @property
    def is_unresolvable(self) -> bool:
        """Whether the node could not hold the Pod even if it were empty."""
        return self.requested > self.capacity


def insufficient_resources(
    requests: Mapping[str, int],
    *,
    allocatable: Mapping[str, int],
    used: Mapping[str, int],
    pod_count: int,
    pod_count_max: int,
) -> list[InsufficientResource]:
    """Compare requests with what is free, in upstream's order: pods, cpu, memory, ephemeral storage, the rest."""
    lacking = []
    if pod_count + 1 > pod_count_max:
        lacking.append(InsufficientResource("pods", 1, pod_count, pod_count_max))
    for name in sorted(requests, key=_resource_order):
        requested = requests[name]
        if requested <= 0:
            continue
        capacity, taken = allocatable.get(name, 0), used.get(name, 0)
        if requested > capacity - taken:
            lacking.append(InsufficientResource(name, requested, taken, capacity))
    return lacking


def _resource_order(name: str) -> tuple[int, str]:
    order = ("cpu", "memory", "ephemeral-storage")
    return (order.index(name) if name in order else len(order), name)


def held_by(pods: Iterable[ReadOnlyObject]) -> dict[str, int]:
    """What Pods of a node hold together: cpu in thousandths, the rest in units."""
    held: dict[str, int] = {}
    for pod in pods:
        for name, amount in pod_requests(pod, use_status=True).items():
            held[name] = held.get(name, 0) + amount
    return held


def allocatable_of(node: ReadOnlyObject) -> dict[str, int]:
    """status.allocatable (else capacity) of a node: cpu in thousandths, the rest in units, `pods` among them."""
    status = node.get("status") or {}
    return resource_amounts(status.get("allocatable") or status.get("capacity"))


@dataclass(frozen=True, slots=True)
class AdmissionFailure:
    """Why a node refuses a Pod that was bound to it: status.reason and status.message of the failed Pod."""

    reason: str
    message: str


def node_admission_failure(
    pod: ReadOnlyObject, node: ReadOnlyObject, running_pods: Iterable[ReadOnlyObject]
) -> AdmissionFailure | None:
    """Judge a Pod as the kubelet does before it starts it, given the Pods that already hold resources of the node."""
    others = list(running_pods)
    node_os = labels_of(node).get(OS_LABEL, "linux")
    if labels_of(pod).get(OS_LABEL, node_os) != node_os:
        message = f"Failed to admit pod as the `{OS_LABEL}` label doesn't match node label"
        return AdmissionFailure("PodOSSelectorNodeLabelDoesNotMatch", message)
    if (pod["spec"].get("os") or {}).get("name", node_os) != node_os:
        return AdmissionFailure("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    if (failure := _resource_failure(pod, node, others)) is not None:
        return failure
    checks = (
        ("NodeAffinity", NODE_AFFINITY_REASON, matches_node(pod, node)),
        ("NodeName", NODE_NAME_REASON, node_name_of(pod) in ("", node["metadata"]["name"])),
        ("NodePorts", NODE_PORTS_REASON, not _ports_taken(pod, others)),
        (
            "TaintToleration",
            NODE_TAINTS_REASON,
            is_static_pod(pod) or find_untolerated_taint(taints_of(node), tolerations_of(pod), (NO_EXECUTE,)) is None,
        ),
    )
    for name, reason, holds in checks:
        if not holds:
            return AdmissionFailure(name, f"Predicate {name} failed: {reason}")
    return None


def _is_extended(resource: str) -> bool:
    """Whether a resource is none of Kubernetes' own."""
    return "/" in resource and "kubernetes.io/" not in resource


def _ports_taken(pod: ReadOnlyObject, others: Iterable[ReadOnlyObject]) -> bool:
    wanted = host_ports_of(pod)
    return bool(wanted) and has_port_conflict(wanted, [port for other in others for port in host_ports_of(other)])


def _resource_failure(
    pod: ReadOnlyObject, node: ReadOnlyObject, others: list[ReadOnlyObject]
) -> AdmissionFailure | None:
    lacking = lacking_resources(pod, node, others)
    return AdmissionFailure(f"OutOf{lacking[0].resource}", lacking[0].refusal) if lacking else None


def lacking_resources(
    pod: ReadOnlyObject, node: ReadOnlyObject, others: Collection[ReadOnlyObject]
) -> list[InsufficientResource]:
    """What a node has too little of for a Pod, given the Pods that already hold resources of it."""
    allocatable = allocatable_of(node)
    # A node that does not list an extended resource leaves it to the device's owner, as the kubelet does.
    requests = {
        name: amount for name, amount in pod_requests(pod).items() if name in allocatable or not _is_extended(name)
    }
    return insufficient_resources(
        requests,
        allocatable=allocatable,
        used=held_by(others) if any(requests.values()) else {},
        pod_count=len(others),
        pod_count_max=allocatable.get("pods", 0),
    )
