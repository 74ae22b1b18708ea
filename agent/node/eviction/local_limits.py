"""Pods that hold more of the node's disk than they may: emptyDir limits and ephemeral-storage limits. Pure.

In upstream's order: volumes, the Pod as a whole, its containers (localStorageEviction in
pkg/kubelet/eviction/eviction_manager.go, v1.36). Volumes in memory are not asked: their file system ends at the limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.node.eviction.pod_usage import PodUse
from control.api.objects import ReadOnlyObject
from control.api.pods import containers_of, init_containers_of, pod_limits
from control.api.quantity import NANOS_PER_UNIT, Quantity, canonical_quantity, parse_quantity, quantity_value

STORAGE = "ephemeral-storage"


def has_local_limits(pod: ReadOnlyObject) -> bool:
    """Whether the Pod's files have to be measured at all."""
    return pod_limits(pod).get(STORAGE, 0) > 0 or any(True for _ in _volume_limits(pod))


def exceeded_limit(pod: ReadOnlyObject, use: PodUse) -> str:
    """Why the Pod must go, in upstream's words; empty while it keeps to its limits."""
    for name, limit in _volume_limits(pod):
        used = use.volumes.get(name)
        if used is not None and used.used_bytes > quantity_value(limit):
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{canonical_quantity(limit)}". '
    total = pod_limits(pod).get(STORAGE, 0)
    if total and use.container_files.plus(use.volume_files).used_bytes > total:
        text = _total_text(pod, total)
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {text}. "
    for name, limit in _storage_limits(containers_of(pod)):
        container = use.containers.get(name)
        if container is not None and container.files.used_bytes > quantity_value(limit):
            return f'Container {name} exceeded its local ephemeral storage limit "{canonical_quantity(limit)}". '
    return ""


def _volume_limits(pod: ReadOnlyObject) -> Iterator[tuple[str, str]]:
    for volume in pod["spec"].get("volumes") or ():
        source = volume.get("emptyDir") or {}
        limit = source.get("sizeLimit")
        if limit and not source.get("medium") and quantity_value(limit) > 0:
            yield volume["name"], limit


def _storage_limits(containers: Iterable[ReadOnlyObject]) -> Iterator[tuple[str, str]]:
    for container in containers:
        limit = ((container.get("resources") or {}).get("limits") or {}).get(STORAGE)
        if limit and quantity_value(limit) > 0:
            yield container["name"], limit


def _total_text(pod: ReadOnlyObject, total_bytes: int) -> str:
    """The sum as upstream prints it: in the format of the first limit."""
    _, first = next(_storage_limits((*containers_of(pod), *init_containers_of(pod))))
    return str(Quantity(total_bytes * NANOS_PER_UNIT, parse_quantity(first).format))
