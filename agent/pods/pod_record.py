"""What a worker knows of its Pod beyond the API object and the engine: memory that a restart may lose.

Shared by worker and executor. Everything that must survive a crash is in the API or in labels instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from agent.pods.container_cache import ContainerCache
from agent.pods.event_pace import EventPace
from agent.pods.observed import ObservedPod, Stopping
from agent.pods.pod_status import Waiting
from agent.volumes.protocol import MountedVolume
from control.api.objects import ReadOnlyObject


@dataclass(slots=True, kw_only=True)
class PodRecord:
    """One Pod on this node.

    `attached` are the sandboxes this process has wired, `released` those it has taken off the host again, `stopping`
    the running containers that were told to stop, `stopped` all that were, `restarting` those that were told so in
    order to run again, `stop_deadline` the end of the grace period of a Pod that stops as a whole, `waiting` why
    containers do not run, `volumes` what is mounted (None: not yet), `image_layers` the images of image volumes,
    `allocated` the Pod with the resources it has while it waits for others,
    `resize_errors` why containers could not be given other resources, `mount_failures` how often in a row the engine
    could not mount a volume of its own, `mount_again_at` when it is asked again, `mount_begun_at` since when volumes
    are waited for (monotonic), `lacks_volumes` that some could not be mounted yet, `told` which failures were told.
    `ending` is set when the Pod must stop, `pre_stops` are the pre-stop hooks begun, by container id. `is_unsure` means
    that a call to the engine failed which may have happened: the cache may lack a container.
    """

    uid: str
    pod: ReadOnlyObject
    wake: Callable[[], None]
    attached: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)
    stopping: dict[str, Stopping] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    restarting: set[str] = field(default_factory=set)
    stop_deadline: datetime | None = None
    waiting: dict[str, Waiting] = field(default_factory=dict)
    volumes: Mapping[str, MountedVolume] | None = None
    image_layers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    mounting: asyncio.Task[Mapping[str, MountedVolume]] | None = None
    mount_failures: int = 0
    mount_again_at: float = 0.0
    mount_begun_at: float | None = None
    lacks_volumes: bool = False
    told: EventPace = field(default_factory=EventPace)
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    allocated: ReadOnlyObject | None = None
    resize_errors: dict[str, str] = field(default_factory=dict)
    pre_stops: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    is_unsure: bool = False
    hinted: set[str] = field(default_factory=set)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def resize_error(self) -> str:
        """Why resources could not be changed, all in one text; empty where nothing failed."""
        return "; ".join(error for _, error in sorted(self.resize_errors.items()))

    def observe(self, cache: ContainerCache) -> ObservedPod:
        """The snapshot that decisions are made from."""
        seen = cache.observe(self.uid, stopping=self.stopping, attached=self.attached)
        existing = {container.id for container in seen.each_container()}
        self.stopped &= existing
        self.restarting &= existing
        sandboxes = tuple(replace(item, is_released=item.id in self.released) for item in seen.sandboxes)
        observed = replace(
            seen,
            sandboxes=sandboxes,
            pre_stopped=frozenset(self.pre_stops),
            restarting=frozenset(self.restarting),
            stop_deadline=self.stop_deadline,
        )
        running = {container.id for container in observed.running_containers()}
        for container_id in [item for item in self.stopping if item not in running]:
            del self.stopping[container_id]
        return observed

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the worker for as long as the Pod lives."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def cancel_tasks(self) -> None:
        """End everything that runs beside the worker."""
        for task in self.tasks:
            task.cancel()
