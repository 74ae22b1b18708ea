"""emptyDir volumes: a directory that lives as long as the Pod, on the node's disk, in memory or in huge pages."""

from __future__ import annotations

from pathlib import Path

from agent.volumes.huge_pages import is_huge_pages, page_bytes
from agent.volumes.mounting import mount_huge_pages, mount_tmpfs, mounts_below
from agent.volumes.ownership import give_to_pod
from agent.volumes.protocol import VolumeError
from agent.volumes.volume_type import VolumeRequest
from control.api.objects import ReadOnlyObject
from control.api.pods import pod_limits
from control.api.quantity import format_bytes, quantity_value

MODE = 0o777
MEMORY = "Memory"


def prepare(request: VolumeRequest) -> Path:
    """Make the directory; one that was ready once keeps its content, and whatever rights containers gave it."""
    medium = request.spec.get("medium") or ""
    if medium not in ("", MEMORY) and not is_huge_pages(medium):
        raise VolumeError(f"emptyDir medium not supported: {medium}")
    ready = request.path.with_name(f"{request.path.name}.ready")  # no volume has such a name
    is_mounted = bool(medium) and request.path in mounts_below(request.path)
    if ready.exists() and request.path.exists() and is_mounted == bool(medium):
        return request.path
    request.path.mkdir(parents=True, exist_ok=True)
    if medium and not is_mounted:
        _mount(request, medium)
    elif not medium:
        request.path.chmod(MODE)
    give_to_pod(request, request.path)
    ready.touch()
    return request.path


def _mount(request: VolumeRequest, medium: str) -> None:
    """The agent mounts it, not Docker: a tmpfs of Docker's would be emptied with each container's restart."""
    if not request.may_mount:
        raise VolumeError(f"emptyDir medium {medium} not supported: the agent may not mount file systems here")
    if medium == MEMORY:
        allocatable = request.node_allocatable.get("memory")
        mount_tmpfs(request.path, size_bytes=memory_size(request.pod, request.spec.get("sizeLimit"), allocatable))
        return
    size = page_bytes(request.pod, medium)
    try:
        mount_huge_pages(request.path, page_bytes=size)
    except OSError as error:
        raise VolumeError(
            f"emptyDir medium {medium}: cannot mount huge pages of {format_bytes(size)}: {error}"
        ) from error


def memory_size(pod: ReadOnlyObject, size_limit: str | None, allocatable: str | None) -> int | None:
    """The smallest of the volume's limit, the Pod's memory limit and what all Pods of the node may have; in bytes."""
    limits = [quantity_value(limit) for limit in (size_limit, allocatable) if limit]
    holders = (pod["spec"], *(pod["spec"].get("containers") or ()))
    pod_limited, *containers_limited = (
        "memory" in ((holder.get("resources") or {}).get("limits") or {}) for holder in holders
    )
    if pod_limited or all(containers_limited):
        limits += [amount for name, amount in pod_limits(pod).items() if name == "memory"]
    return min((limit for limit in limits if limit), default=None)
