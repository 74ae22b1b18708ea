"""What the Node object says: labels, capacity, addresses, conditions. Pure.

Reasons and messages are the kubelet's (pkg/kubelet/nodestatus/setters.go, v1.36). Several nodes may share one host;
each reports the host's full capacity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent.node.host_facts import HostFacts, HostUsage
from agent.node.node_features import NodeFeatures
from agent.runtime.protocol import EngineInfo, ImageRecord
from control.api.meta import find_condition
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time
from control.api.volumes import VOLUME_ROOT

KUBELET_VERSION = "v1.36.2"
IMAGES_MAX = 50
NAMES_PER_IMAGE_MAX = 5
MEMORY_AVAILABLE_BYTES_MIN = 100 << 20
DISK_AVAILABLE_BYTES_MIN = 512 << 20
PIDS_AVAILABLE_MIN = 500

GO_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInputs:
    """What a node's status is computed from. `problem` says why the node cannot run Pods; empty when it can."""

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
    labels: Mapping[str, str] | None = None
    volume_root: str = ""
    features: NodeFeatures = field(default_factory=NodeFeatures)


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
    resources = node_resources(inputs)
    status: Object = {
        "capacity": resources,
        "allocatable": dict(resources),
        "conditions": _conditions(inputs, old.get("conditions") or ()),
        "addresses": _addresses(inputs),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": inputs.port}},
        "nodeInfo": _node_info(inputs),
        "images": _images(inputs.images),
        "runtimeHandlers": [_handler(name, inputs.features) for name in ("", *inputs.engine.runtimes)],
        "features": {"supplementalGroupsPolicy": inputs.features.supplemental_groups_policy},
    }
    return status


def _handler(name: str, features: NodeFeatures) -> Object:
    """What the kernel's mounts allow is the same with every runtime; no engine gives a Pod users of its own."""
    return {
        "name": name,
        "features": {"recursiveReadOnlyMounts": features.recursive_read_only, "userNamespaces": False},
    }


def node_resources(inputs: NodeInputs) -> dict[str, str]:
    """Capacity, which is allocatable too: nothing is reserved for the system."""
    return {
        "cpu": str(inputs.engine.cpus),
        "ephemeral-storage": f"{inputs.usage.disk_bytes // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{inputs.engine.memory_bytes // 1024}Ki",
        "pods": str(inputs.pods_max),
    }


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
    }


def _images(images: Sequence[ImageRecord]) -> list[Object]:
    listed = []
    for image in sorted(images, key=lambda item: (-item.size_bytes, item.id))[:IMAGES_MAX]:
        names = [*image.digests, *image.tags][:NAMES_PER_IMAGE_MAX]
        if names:
            listed.append({"names": names, "sizeBytes": image.size_bytes})
    return listed


def _conditions(inputs: NodeInputs, old: Sequence[Any]) -> list[Object]:
    usage = inputs.usage
    memory = usage.memory_available_bytes
    memory_pressure = memory is not None and memory < MEMORY_AVAILABLE_BYTES_MIN
    disk_pressure = usage.disk_bytes > 0 and usage.disk_available_bytes < DISK_AVAILABLE_BYTES_MIN
    pid_pressure = usage.pid_max > 0 and usage.pid_max - usage.pids < PIDS_AVAILABLE_MIN
    verdicts = (
        ("MemoryPressure", memory_pressure, *_memory_words(memory_pressure)),
        ("DiskPressure", disk_pressure, *_disk_words(disk_pressure)),
        ("PIDPressure", pid_pressure, *_pid_words(pid_pressure)),
        ("Ready", not inputs.problem, *_ready_words(inputs.problem)),
    )
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


def _memory_words(pressure: bool) -> tuple[str, str]:
    if pressure:
        return "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"
    return "KubeletHasSufficientMemory", "kubelet has sufficient memory available"


def _disk_words(pressure: bool) -> tuple[str, str]:
    if pressure:
        return "KubeletHasDiskPressure", "kubelet has disk pressure"
    return "KubeletHasNoDiskPressure", "kubelet has no disk pressure"


def _pid_words(pressure: bool) -> tuple[str, str]:
    if pressure:
        return "KubeletHasInsufficientPID", "kubelet has insufficient PID available"
    return "KubeletHasSufficientPID", "kubelet has sufficient PID available"


def _ready_words(problem: str) -> tuple[str, str]:
    if problem:
        return "KubeletNotReady", problem
    return "KubeletReady", "kubelet is posting ready status"
