"""Stopping one container: its pre-stop hook, its signal, and the moment it is killed if it is still there.

Called by the executor. Hook and signal run beside the worker; what was begun is remembered in the Pod's record, from
where the decisions see it. Upstream: killContainer (pkg/kubelet/kuberuntime/kuberuntime_container.go, v1.36).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from agent.pods.actions import RunPreStop, StopContainer
from agent.pods.container_start import ContainerStarter
from agent.pods.container_stop import GRACE_SECONDS_MIN
from agent.pods.hooks import HookRunner
from agent.pods.observed import Stopping
from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import field_path, find_container, has_pre_stop
from agent.runtime.protocol import ContainerNotFoundError, Runtime, RuntimeFailure
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject


class ContainerStopper:
    """Stops containers."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        starter: ContainerStarter,
        hooks: HookRunner,
        record: Callable[..., None],
        clock: Clock,
    ) -> None:
        self._runtime = runtime
        self._starter = starter
        self._hooks = hooks
        self._record = record
        self._clock = clock

    def begin(self, pod_record: PodRecord, action: StopContainer) -> float:
        """Begin to stop; returns after how many seconds the container is to be killed."""
        pod = pod_record.pod
        container = find_container(pod, action.container_name)
        begun = self._clock.now()
        grace_seconds = max(action.grace_seconds, GRACE_SECONDS_MIN)
        if has_pre_stop(container) and action.grace_seconds > 0:
            # A hook that takes all of the grace period leaves the program a moment all the same.
            grace_seconds = action.grace_seconds + GRACE_SECONDS_MIN
        deadline = begun + timedelta(seconds=grace_seconds)
        pod_record.stopping[action.container_id] = Stopping(deadline=deadline, pod_deadline=action.pod_deadline)
        pod_record.stopped.add(action.container_id)
        pod_record.stop_deadline = pod_record.stop_deadline or action.pod_deadline
        if action.restarts:
            pod_record.restarting.add(action.container_id)
        path = field_path(pod, action.container_name)
        self._record(pod, "Normal", "Killing", action.cause, field_path=path)
        pod_record.spawn(self._signal(pod_record, container, action, begun))
        return grace_seconds

    def begin_pre_stop(self, pod_record: PodRecord, action: RunPreStop | StopContainer) -> asyncio.Task[None]:
        """The container's pre-stop hook; one that has begun goes on."""
        pod_record.stop_deadline = pod_record.stop_deadline or action.pod_deadline
        hook = pod_record.pre_stops.get(action.container_id)
        if hook is None:
            container = find_container(pod_record.pod, action.container_name) or {"name": action.container_name}
            running = self._hooks.pre_stop(pod_record, container, action.container_id, action.grace_seconds)
            hook = pod_record.pre_stops[action.container_id] = pod_record.spawn(running)
        return hook

    async def _signal(
        self, pod_record: PodRecord, container: ReadOnlyObject | None, action: StopContainer, begun: datetime
    ) -> None:
        if has_pre_stop(container) and action.grace_seconds > 0:
            await self._wait_for_hook(self.begin_pre_stop(pod_record, action), action.grace_seconds)
            self._count_hook(pod_record, action, begun)
        try:
            signal = await self._starter.stop_signal(container, action.container_id)
            await self._runtime.kill_container(action.container_id, signal)
        except ContainerNotFoundError:
            pass
        except RuntimeFailure:
            # The deadline follows: SIGKILL.
            pod_record.wake()

    async def _wait_for_hook(self, hook: asyncio.Task[None], grace_seconds: float) -> None:
        """Wait for the hook's end, at most for the grace period: what it runs in the container goes on beside."""
        late = asyncio.ensure_future(self._clock.sleep(grace_seconds))
        try:
            await asyncio.wait({hook, late}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            late.cancel()

    def _count_hook(self, pod_record: PodRecord, action: StopContainer, begun: datetime) -> None:
        """The hook's time counts against the grace period, but for the last moment."""
        stopping = pod_record.stopping.get(action.container_id)
        if stopping is None:
            return
        at_least = self._clock.now() + timedelta(seconds=GRACE_SECONDS_MIN)
        deadline = max(at_least, begun + timedelta(seconds=action.grace_seconds))
        pod_record.stopping[action.container_id] = replace(stopping, deadline=deadline)
        pod_record.wake()
