"""emptyDir volumes: a directory that lives as long as the Pod, on the node's disk, in memory or in huge pages."""

from __future__ import annotations

from pathlib import Path

from agent.volumes.huge_pages import is_huge_pages, page_bytes
from agent.volumes.mounting import mount_huge_pages, mount_tmpfs, mounts_below
from agent.volumes.protocol import VolumeError
from agent.volumes.volume_type import VolumeRequest
from control.api.objects import ReadOnlyObject
from control.api.pods import pod_limits
from control.api.quantity import format_bytes, quantity_value

MODE = 0o777
MEMORY = "Memory"


def prepare(request: VolumeRequest) -> Path:
    """Make the directory; one that exists keeps its content."""
    medium = request.spec.get("medium") or ""
    if medium not in ("", MEMORY) and not is_huge_pages(medium):
        raise VolumeError(f"emptyDir medium not supported: {medium}")
    if not request.path.exists():
        request.path.mkdir(parents=True)
        request.path.chmod(MODE)
    if medium and request.path not in mounts_below(request.path):
        _mount(request, medium)
    return request.path


def _mount(request: VolumeRequest, medium: str) -> None:
    """The agent mounts it, not Docker: a tmpfs of Docker's would be emptied with each container's restart."""
    if not request.may_mount:
        raise VolumeError(f"emptyDir medium {medium} not supported: the agent may not mount file systems here")
    if medium == MEMORY:
        mount_tmpfs(request.path, size_bytes=memory_size(request.pod, request.spec.get("sizeLimit")), mode=MODE)
        return
    size = page_bytes(request.pod, medium)
    try:
        mount_huge_pages(request.path, page_bytes=size, mode=MODE)
    except OSError as error:
        raise VolumeError(
            f"emptyDir medium {medium}: cannot mount huge pages of {format_bytes(size)}: {error}"
        ) from error


def memory_size(pod: ReadOnlyObject, size_limit: str | None) -> int | None:
    """The smaller of the volume's limit and the Pod's memory limit; None where neither is set."""
    limits = [quantity_value(size_limit)] if size_limit and quantity_value(size_limit) else []
    holders = (pod["spec"], *(pod["spec"].get("containers") or ()))
    pod_limited, *containers_limited = (
        "memory" in ((holder.get("resources") or {}).get("limits") or {}) for holder in holders
    )
    if pod_limited or all(containers_limited):
        limits += [amount for name, amount in pod_limits(pod).items() if name == "memory" and amount]
    return min(limits) if limits else None
