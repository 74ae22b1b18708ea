"""What Pods use, asked of the engine and counted on the disk: of Pods that have limits, or when something is short.

Memory and processes are the engine's samples. A writable layer is counted where it lies if this machine has it, else
the engine says its size. Counting runs in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from agent.node.eviction.pod_usage import NO_FILES, ContainerUse, FileUsage, PodUse
from agent.pods.container_cache import ContainerCache
from agent.pods.observed import ObservedContainer
from agent.runtime.protocol import Runtime, RuntimeFailure
from agent.usage.container_usage import parse_usage
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject


class FileCounting(Protocol):
    """The part of a host that counts files. Blocking."""

    def measure_directory(self, directory: str) -> FileUsage:
        """Everything below it. Raises OSError."""
        ...

    def measure_log(self, log_path: str) -> FileUsage:
        """The files of a container's log."""
        ...


class UseMeasuring:
    """Measures Pods."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        cache: ContainerCache,
        local_directories: Callable[[ReadOnlyObject], Mapping[str, Path]],
        files: FileCounting,
        clock: Clock,
    ) -> None:
        self._runtime = runtime
        self._cache = cache
        self._local_directories = local_directories
        self._files = files
        self._clock = clock

    async def measure_files(self, pods: Sequence[ReadOnlyObject]) -> dict[str, PodUse]:
        """Files alone, by UID. One Pod after the other: this goes on in the background of everything else."""
        return {pod["metadata"]["uid"]: await self._measure(pod, with_samples=False) for pod in pods}

    async def measure_all(self, pods: Sequence[ReadOnlyObject]) -> dict[str, PodUse]:
        """Files, memory and processes, by UID."""
        return {pod["metadata"]["uid"]: await self._measure(pod, with_samples=True) for pod in pods}

    async def memory_bytes(self, pods: Sequence[ReadOnlyObject]) -> int:
        """The working set of all containers of these Pods together."""
        observed = [self._cache.observe(pod["metadata"]["uid"], stopping={}, attached=()) for pod in pods]
        running = [container for pod in observed for container in pod.running_containers()]
        samples = await asyncio.gather(*(self._sample(container) for container in running))
        return sum(memory_bytes for memory_bytes, _ in samples)

    async def _measure(self, pod: ReadOnlyObject, *, with_samples: bool) -> PodUse:
        observed = self._cache.observe(pod["metadata"]["uid"], stopping={}, attached=())
        newest = [attempts[0] for attempts in observed.containers.values()]
        uses = await asyncio.gather(*(self._measure_container(item, with_samples) for item in newest))
        volumes = await asyncio.to_thread(self._count_volumes, self._local_directories(pod))
        return PodUse(containers={item.name: use for item, use in zip(newest, uses, strict=True)}, volumes=volumes)

    async def _measure_container(self, container: ObservedContainer, with_samples: bool) -> ContainerUse:
        memory_bytes, processes = await self._sample(container) if with_samples else (0, 0)
        log = await asyncio.to_thread(self._files.measure_log, container.record.log_path)
        layer = await self._measure_layer(container)
        return ContainerUse(memory_bytes=memory_bytes, processes=processes, files=layer.plus(log), layer=layer)

    async def _sample(self, container: ObservedContainer) -> tuple[int, int]:
        """Memory in bytes and processes of one that runs; of one that has ended, nothing."""
        if not container.is_running:
            return 0, 0
        try:
            usage = parse_usage(await self._runtime.stats(container.id), self._clock.now())
        except RuntimeFailure:
            return 0, 0  # it has just ended
        return usage.memory_working_set_bytes, usage.threads

    async def _measure_layer(self, container: ObservedContainer) -> FileUsage:
        layer = container.record.writable_layer
        if layer:
            try:
                return await asyncio.to_thread(self._files.measure_directory, layer)
            except OSError:
                pass  # the engine is on another machine, or its files are not for us
        try:
            record = await self._runtime.inspect_container(container.id, with_size=True)
        except RuntimeFailure:
            return NO_FILES
        return FileUsage(used_bytes=record.written_bytes)

    def _count_volumes(self, directories: Mapping[str, Path]) -> dict[str, FileUsage]:
        counted = {}
        for name, directory in directories.items():
            try:
                counted[name] = self._files.measure_directory(str(directory))
            except OSError:
                counted[name] = NO_FILES  # not made yet, or gone already
        return counted
