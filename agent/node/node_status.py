"""What the Node object says: labels, capacity, addresses, conditions. Pure.

Reasons and messages are the kubelet's (pkg/kubelet/nodestatus/setters.go, v1.36). Several nodes may share one host;
each reports the host's full capacity. Pressure is judged elsewhere (`eviction/pressure.py`) and told here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent.cgroups.limits import HUGE_PAGES_PREFIX
from agent.node.eviction.signals import BYTE_RESOURCES
from agent.node.eviction.thresholds import Threshold
from agent.node.host_facts import HostFacts, HostUsage
from agent.node.node_features import NodeFeatures
from agent.node.reservations import NOTHING_RESERVED, Reservations, allocatable_amounts
from agent.runtime.gpus import GPU_RESOURCE, offered_gpus
from agent.runtime.protocol import EngineInfo, ImageRecord
from control.api.declared_features import DECLARED_FEATURES
from control.api.meta import find_condition
from control.api.objects import Object, ReadOnlyObject
from control.api.quantity import format_bytes, format_millis
from control.api.timestamps import format_time
from control.api.volumes import VOLUME_ROOT

KUBELET_VERSION = "v1.36.2"
IMAGES_MAX = 50
NAMES_PER_IMAGE_MAX = 5

GO_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
#: reason and message of a condition while it holds, and while it does not
PRESSURE_WORDS = {
    "MemoryPressure": (
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ),
    "DiskPressure": (
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ),
    "PIDPressure": (
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInputs:
    """What a node's status is computed from. `problem` says why the node cannot run Pods; empty when it can.

    `pressures` are the conditions of pressure that hold (`MemoryPressure`).
    """

    name: str
    engine: EngineInfo
    facts: HostFacts
    usage: HostUsage
    address: str
    port: int
    now: datetime
    pods_max: int = 110
    problem: str = ""
    images: Sequence[ImageRecord] = ()
    images_max: int = IMAGES_MAX
    labels: Mapping[str, str] | None = None
    volume_root: str = ""
    features: NodeFeatures = field(default_factory=NodeFeatures)
    reservations: Reservations = NOTHING_RESERVED
    thresholds: Sequence[Threshold] = ()
    pressures: frozenset[str] = frozenset()


def node_object(inputs: NodeInputs) -> Object:
    """The Node as it registers."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": inputs.name,
            "labels": node_labels(inputs),
            "annotations": {
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
                **node_annotations(inputs),
            },
        },
        "spec": {},
        "status": compute_node_status(inputs, {}),
    }


def node_labels(inputs: NodeInputs) -> dict[str, str]:
    """The labels that the node keeps on its object."""
    architecture = go_architecture(inputs.engine.architecture)
    return {
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": inputs.name,
        "kubernetes.io/os": "linux",
        **(inputs.labels or {}),
    }


def node_annotations(inputs: NodeInputs) -> dict[str, str]:
    """The annotations that the node keeps on its object: where it makes local volumes."""
    return {VOLUME_ROOT: inputs.volume_root} if inputs.volume_root else {}


def compute_node_status(inputs: NodeInputs, old: ReadOnlyObject) -> Object:
    """The whole status, given the one the API has (for the transition times)."""
    capacity = node_capacity(inputs)
    status: Object = {
        "capacity": format_resources(capacity),
        "allocatable": format_resources(allocatable_amounts(capacity, inputs.reservations, inputs.thresholds)),
        "conditions": _conditions(inputs, old.get("conditions") or ()),
        "addresses": _addresses(inputs),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": inputs.port}},
        "nodeInfo": _node_info(inputs),
        "images": _images(inputs),
        "runtimeHandlers": [_handler(name, inputs.features) for name in ("", *inputs.engine.runtimes)],
        "features": {"supplementalGroupsPolicy": inputs.features.supplemental_groups_policy},
        "declaredFeatures": list(DECLARED_FEATURES),
    }
    return status


def _handler(name: str, features: NodeFeatures) -> Object:
    """What the kernel's mounts allow is the same with every runtime; no engine gives a Pod users of its own."""
    return {
        "name": name,
        "features": {"recursiveReadOnlyMounts": features.recursive_read_only, "userNamespaces": False},
    }


def node_capacity(inputs: NodeInputs) -> dict[str, int]:
    """What the host has: cpu in thousandths, memory and storage in bytes. Storage is that of the agent's directory."""
    gpus = offered_gpus(inputs.facts.gpus, inputs.engine)
    return {
        "cpu": inputs.engine.cpus * 1000,
        "ephemeral-storage": inputs.usage.node_disk.capacity_bytes // 1024 * 1024,
        "hugepages-1Gi": 0,
        "hugepages-2Mi": 0,
        **{f"{HUGE_PAGES_PREFIX}{size}": amount for size, amount in inputs.usage.huge_pages.items()},
        "memory": inputs.engine.memory_bytes // 1024 * 1024,
        **({GPU_RESOURCE: len(gpus)} if gpus else {}),
        "pods": inputs.pods_max,
    }


def format_resources(amounts: Mapping[str, int]) -> dict[str, str]:
    """A resource list of amounts, written as kubelets do: whole KiB as such, other amounts of bytes in full."""
    return {name: _format_amount(name, amount) for name, amount in amounts.items()}


def _format_amount(name: str, amount: int) -> str:
    if name == "cpu":
        return format_millis(amount)
    if name.startswith(HUGE_PAGES_PREFIX):
        return format_bytes(amount)
    return f"{amount // 1024}Ki" if name in BYTE_RESOURCES and amount % 1024 == 0 else str(amount)


def status_differs(old: ReadOnlyObject, new: Object) -> bool:
    """True when something else than heartbeats changed."""
    return any(_comparable(name, old.get(name)) != _comparable(name, value) for name, value in new.items())


def go_architecture(architecture: str) -> str:
    """Go's name of an architecture."""
    return GO_ARCHITECTURES.get(architecture, architecture)


def _comparable(name: str, value: Any) -> Any:
    if name != "conditions":
        return value
    return [
        {key: item for key, item in condition.items() if key != "lastHeartbeatTime"}
        for condition in value or ()
        if condition.get("type") in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    ]


def _addresses(inputs: NodeInputs) -> list[Object]:
    addresses = [{"type": "InternalIP", "address": inputs.address}] if inputs.address else []
    return [*addresses, {"type": "Hostname", "address": inputs.name}]


def _node_info(inputs: NodeInputs) -> Object:
    return {
        "machineID": inputs.facts.machine_id,
        "systemUUID": inputs.facts.system_uuid,
        "bootID": inputs.facts.boot_id,
        "kernelVersion": inputs.engine.kernel_version or inputs.facts.kernel_version,
        "osImage": inputs.facts.os_image,
        "containerRuntimeVersion": f"docker://{inputs.engine.version}",
        "kubeletVersion": KUBELET_VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": go_architecture(inputs.engine.architecture),
        **({"swap": {"capacity": inputs.usage.swap_bytes}} if inputs.usage.swap_bytes else {}),
    }


def _images(inputs: NodeInputs) -> list[Object]:
    """The largest ones; all of them when the maximum is -1."""
    listed = []
    largest = sorted(inputs.images, key=lambda item: (-item.size_bytes, item.id))
    for image in largest if inputs.images_max == -1 else largest[: inputs.images_max]:
        names = [*image.digests, *image.tags][:NAMES_PER_IMAGE_MAX]
        if names:
            listed.append({"names": names, "sizeBytes": image.size_bytes})
    return listed


def _conditions(inputs: NodeInputs, old: Sequence[Any]) -> list[Object]:
    verdicts = [
        (name, name in inputs.pressures, *words[name not in inputs.pressures]) for name, words in PRESSURE_WORDS.items()
    ]
    verdicts.append(("Ready", not inputs.problem, *_ready_words(inputs.problem)))
    now = format_time(inputs.now)
    conditions = []
    for name, is_true, reason, message in verdicts:
        value = "True" if is_true else "False"
        before = find_condition(old, name)
        kept = before is not None and before.get("status") == value
        conditions.append(
            {
                "type": name,
                "status": value,
                "lastHeartbeatTime": now,
                "lastTransitionTime": before["lastTransitionTime"] if before is not None and kept else now,
                "reason": reason,
                "message": message,
            }
        )
    return conditions


def _ready_words(problem: str) -> tuple[str, str]:
    if problem:
        return "KubeletNotReady", problem
    return "KubeletReady", "kubelet is posting ready status"
