"""Which graphics cards a container has: each belongs to one container at a time.

The labels of containers are the record of it, so a new agent goes on with what the former one gave. As with the
kubelet's device manager (pkg/kubelet/cm/devicemanager, v1.36) a container keeps its cards over restarts, and those of
a Pod's init containers serve its other containers afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from agent.pods.container_cache import ContainerCache
from agent.pods.environment import ConfigurationError
from agent.pods.pod_spec import init_containers, is_sidecar
from agent.runtime.gpus import GPU_RESOURCE, gpu_count
from control.api.objects import ReadOnlyObject
from control.api.pods import is_terminal

Holder = tuple[str, str]  # Pod UID, name of the container


class GpuAllocation:
    """Gives cards to containers. `pods` are those that the node has taken on: what others had is free again."""

    def __init__(
        self, gpus: Sequence[str], cache: ContainerCache, pods: Callable[[], Iterable[ReadOnlyObject]]
    ) -> None:
        self._gpus = gpus
        self._cache = cache
        self._pods = pods
        self._held: dict[Holder, tuple[str, ...]] = {}

    def allocate(self, pod: ReadOnlyObject, container: ReadOnlyObject) -> tuple[str, ...]:
        """The cards of the container; none where the node has no cards at all. Raises ConfigurationError."""
        count = gpu_count(container)
        if not count or not self._gpus:
            return ()
        self._refresh(pod)
        holder = (pod["metadata"]["uid"], container["name"])
        reusable = {(holder[0], item["name"]) for item in init_containers(pod) if not is_sidecar(item)}
        taken = {gpu for other, held in self._held.items() if other not in {holder, *reusable} for gpu in held}
        free = [gpu for gpu in self._gpus if gpu not in taken]
        own = [gpu for gpu in self._held.get(holder, ()) if gpu in free]
        chosen = tuple(dict.fromkeys([*own, *self._of(reusable, free), *free]))[:count]
        if len(chosen) < count:
            raise ConfigurationError(
                f"requested number of devices unavailable for {GPU_RESOURCE}. "
                f"Requested: {count}, Available: {len(chosen)}"
            )
        self._held[holder] = chosen
        return chosen

    def _of(self, holders: Iterable[Holder], free: Sequence[str]) -> list[str]:
        return [gpu for gpu in free if any(gpu in self._held.get(holder, ()) for holder in holders)]

    def _refresh(self, pod: ReadOnlyObject) -> None:
        """Forget what Pods had that are done with, learn from labels what a former agent gave."""
        active = {pod["metadata"]["uid"], *(item["metadata"]["uid"] for item in self._pods() if not is_terminal(item))}
        self._held = {holder: held for holder, held in self._held.items() if holder[0] in active}
        for uid in active:
            for identity in sorted(self._cache.identities(uid), key=lambda item: -item.attempt):
                if identity.gpus:
                    self._held.setdefault((uid, identity.container_name), identity.gpus)
