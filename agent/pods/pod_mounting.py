"""Mounting a Pod's volumes: beside its sandbox, without holding up its worker, again until it succeeds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import image_volumes
from agent.pods.start_failure import StartFailure
from agent.volumes.protocol import EngineVolumeError, MountedVolume, VolumeError, VolumeManager
from control.api.clock import Clock
from control.client.running import run_until

RETRY_SECONDS = 1.0
ENGINE_RETRY_SECONDS_MAX = 60.0
#: A server that does not answer can hold a mount for minutes: the worker has other things to do by then.
WAIT_SECONDS_MAX = 2.0


class PodMounting:
    """Mounts the volumes of Pods."""

    def __init__(self, *, volumes: VolumeManager, record: Callable[..., None], clock: Clock) -> None:
        self._volumes = volumes
        self._record = record
        self._clock = clock

    def begin(self, pod_record: PodRecord) -> None:
        """Mount the Pod's volumes, again if they were; a failure shows when the first container needs them.

        A Pod with image volumes waits for their images.
        """
        if any(volume["name"] not in pod_record.image_layers for volume in image_volumes(pod_record.pod)):
            return
        if pod_record.mounting is None and not self._backoff_seconds(pod_record):
            pod_record.volumes = None
            mounting = self._volumes.mount_all(pod_record.pod, pod_record.image_layers)
            pod_record.mounting = asyncio.ensure_future(mounting)
            pod_record.mounting.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def finish(self, pod_record: PodRecord) -> None:
        """Return when all is mounted. Raises StartFailure, also when it takes long: the worker is woken at its end."""
        if pod_record.volumes is not None:
            return
        self.begin(pod_record)
        mounting = pod_record.mounting
        if mounting is None:
            raise StartFailure("ContainerCreating", "", self._backoff_seconds(pod_record))
        if not await self._is_done_soon(mounting):
            mounting.add_done_callback(lambda task: pod_record.wake())
            raise StartFailure("ContainerCreating", "")
        pod_record.mounting = None
        try:
            pod_record.volumes = mounting.result()
        except VolumeError as error:
            for reason in error.event_reasons:
                self._record(pod_record.pod, "Warning", reason, str(error))
            self._back_off(pod_record, error)
            pod_record.image_layers.clear()  # an image may have gone since it was looked for
            delay_seconds = self._backoff_seconds(pod_record) or RETRY_SECONDS
            raise StartFailure("ContainerCreating", "", delay_seconds) from error
        pod_record.mount_failures = 0

    async def _is_done_soon(self, mounting: asyncio.Task[Mapping[str, MountedVolume]]) -> bool:
        done = asyncio.Event()
        mounting.add_done_callback(lambda task: done.set())
        if not mounting.done():
            await run_until(done, self._clock.sleep(WAIT_SECONDS_MAX))
        return mounting.done()

    def _back_off(self, pod_record: PodRecord, error: VolumeError) -> None:
        """Objects that are missing may come at any time; what the engine refuses is tried ever more rarely."""
        if isinstance(error, EngineVolumeError):
            delay_seconds = min(ENGINE_RETRY_SECONDS_MAX, RETRY_SECONDS * 2**pod_record.mount_failures)
            pod_record.mount_failures += 1
            pod_record.mount_again_at = self._clock.monotonic() + delay_seconds

    def _backoff_seconds(self, pod_record: PodRecord) -> float:
        return max(0.0, pod_record.mount_again_at - self._clock.monotonic())
