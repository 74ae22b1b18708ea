"""Gives running containers, and the Pod's cgroup, other limits. Called by the executor; what fails is tried again.

A memory limit is not lowered below what is in use, which a kernel with cgroup v2 would answer by killing
(validateMemoryResizeAction in pkg/kubelet/kuberuntime/kuberuntime_manager.go, v1.36; KEP-1287).
"""

from __future__ import annotations

from agent.cgroups.protocol import CgroupError
from agent.pods.actions import ResizeContainer, ResizePod
from agent.pods.container_cache import ContainerCache
from agent.pods.observed import ObservedPod
from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import find_container
from agent.pods.resize import allocated_pod, held_pod_resources
from agent.pods.sandbox_start import SandboxStarter
from agent.runtime.identity import format_pod_resources, format_resources
from agent.runtime.protocol import Runtime, RuntimeFailure
from agent.runtime.resource_settings import cpu_settings, memory_settings
from agent.usage.container_usage import parse_usage
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject
from control.api.quantity import quantity_value

#: where the failure to resize the Pod as a whole stands among those of its containers
POD_RESIZE = "Pod"


class PodResizer:
    """Serves all Pods of a node."""

    def __init__(self, *, runtime: Runtime, cache: ContainerCache, sandboxes: SandboxStarter, clock: Clock) -> None:
        self._runtime = runtime
        self._cache = cache
        self._sandboxes = sandboxes
        self._clock = clock

    async def resize_container(self, pod_record: PodRecord, action: ResizeContainer) -> bool:
        """Change the engine's limits of a container; False where that failed, for the reason noted in the record."""
        pod, name = pod_record.pod, action.container_name
        container = find_container(pod, name)
        assert container is not None
        settings = {**cpu_settings(pod, container), **memory_settings(pod, container)}
        limit, held = settings.get("Memory", 0), self._held_limit(pod_record, name)
        if limit and not 0 < held <= limit and (used := await self._used_bytes(action.container_id)) >= limit:
            pod_record.resize_errors[name] = _objection(f'container "{name}"', limit, used)
            return False
        try:
            await self._runtime.update_container(action.container_id, settings)
        except RuntimeFailure as error:
            pod_record.resize_errors[name] = f"{name}: {error}"
            return False
        pod_record.resize_errors.pop(name, None)
        self._cache.note_resources(action.container_id, format_resources(container))
        return True

    async def resize_pod(self, pod_record: PodRecord, action: ResizePod) -> bool:
        """Change the limits of the Pod's cgroup; False as above. It does not shrink before its containers have."""
        if not action.raise_only:
            if pod_record.resize_errors.keys() - {POD_RESIZE}:
                return False
            if objection := await self._objection_of_pod(pod_record.pod, pod_record.observe(self._cache)):
                pod_record.resize_errors[POD_RESIZE] = objection
                return False
        try:
            await self._sandboxes.resize(pod_record, raise_only=action.raise_only)
        except CgroupError as error:
            pod_record.resize_errors[POD_RESIZE] = str(error)
            return False
        if not action.raise_only:
            pod_record.resize_errors.pop(POD_RESIZE, None)
            pod = pod_record.allocated or pod_record.pod
            self._cache.note_resources(action.sandbox_id, format_pod_resources(pod))
        return True

    def _held_limit(self, pod_record: PodRecord, name: str) -> int:
        """The memory limit in bytes that a container runs with, its own or its Pod's; 0 is none."""
        held = allocated_pod(pod_record.pod, pod_record.observe(self._cache))
        container = find_container(held, name)
        return memory_settings(held, container).get("Memory", 0) if container is not None else 0

    async def _objection_of_pod(self, pod: ReadOnlyObject, observed: ObservedPod) -> str:
        limit, held = _memory_limit(pod["spec"]), _memory_limit({"resources": held_pod_resources(observed)})
        if not limit or 0 < held <= limit:
            return ""
        used = sum([await self._used_bytes(container.id) for container in observed.running_containers()])
        return _objection("pod", limit, used) if used >= limit else ""

    async def _used_bytes(self, container_id: str) -> int:
        """The memory of a container that the kernel cannot simply drop."""
        try:
            return parse_usage(await self._runtime.stats(container_id), self._clock.now()).memory_working_set_bytes
        except RuntimeFailure:
            return 0  # it has just ended


def _memory_limit(holder: ReadOnlyObject) -> int:
    text = ((holder.get("resources") or {}).get("limits") or {}).get("memory")
    return quantity_value(text) if text else 0


def _objection(subject: str, limit: int, used: int) -> str:
    attempt = f"attempting to set {subject} memory limit ({limit}) below current usage ({used})"
    return f"cannot decrease memory limits: {attempt}"
