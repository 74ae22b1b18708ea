"""emptyDir volumes: a directory that lives as long as the Pod, on the node's disk or in memory."""

from __future__ import annotations

from pathlib import Path

from agent.volumes.mounting import mount_tmpfs, mounts_below
from agent.volumes.protocol import VolumeError
from agent.volumes.volume_type import VolumeRequest
from control.api.objects import ReadOnlyObject
from control.api.pods import pod_limits
from control.api.quantity import quantity_value

MODE = 0o777


def prepare(request: VolumeRequest) -> Path:
    """Make the directory; one that exists keeps its content."""
    medium = request.spec.get("medium") or ""
    if medium not in ("", "Memory"):
        raise VolumeError(f"emptyDir medium not supported: {medium}")
    if not request.path.exists():
        request.path.mkdir(parents=True)
        request.path.chmod(MODE)
    if medium == "Memory" and request.path not in mounts_below(request.path):
        _mount_memory(request)
    return request.path


def _mount_memory(request: VolumeRequest) -> None:
    """The agent mounts it, not Docker: a tmpfs of Docker's would be emptied with each container's restart."""
    if not request.may_mount:
        raise VolumeError("emptyDir medium Memory not supported: the agent may not mount file systems here")
    mount_tmpfs(request.path, size_bytes=memory_size(request.pod, request.spec.get("sizeLimit")), mode=MODE)


def memory_size(pod: ReadOnlyObject, size_limit: str | None) -> int | None:
    """The smaller of the volume's limit and the Pod's memory limit; None where neither is set."""
    limits = [quantity_value(size_limit)] if size_limit and quantity_value(size_limit) else []
    containers_limited = all(
        "memory" in ((container.get("resources") or {}).get("limits") or {})
        for container in pod["spec"].get("containers") or ()
    )
    if containers_limited:
        limits += [amount for name, amount in pod_limits(pod).items() if name == "memory" and amount]
    return min(limits) if limits else None
