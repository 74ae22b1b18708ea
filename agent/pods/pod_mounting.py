"""Mounting a Pod's volumes: beside its sandbox, without holding up its worker, again until it succeeds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from agent.pods.pod_record import PodRecord
from agent.pods.pod_spec import image_volumes
from agent.pods.start_failure import StartFailure
from agent.volumes.protocol import (
    EngineVolumeError,
    MountedVolume,
    UnmountedVolumesError,
    VolumeManager,
    unmounted_message,
)
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject
from control.api.volumes import used_volumes
from control.client.running import run_until

RETRY_SECONDS = 1.0
ENGINE_RETRY_SECONDS_MAX = 60.0
#: A server that does not answer can hold a mount for minutes: the worker has other things to do by then.
WAIT_SECONDS_MAX = 2.0
#: after which the kubelet says what a Pod still waits for (podAttachAndMountTimeout)
SUMMARY_SECONDS = 123.0


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
        if pod_record.volumes is not None and pod_record.volumes.keys() >= _used_names(pod_record.pod):
            return
        self.begin(pod_record)
        pod_record.lacks_volumes = True
        mounting = pod_record.mounting
        if mounting is None:
            raise StartFailure("ContainerCreating", "", self._backoff_seconds(pod_record))
        if not await self._is_done_soon(mounting):
            mounting.add_done_callback(lambda task: pod_record.wake())
            self._sum_up(pod_record, sorted(_used_names(pod_record.pod)))
            raise StartFailure("ContainerCreating", "", self._wait_for_summary(pod_record))
        pod_record.mounting = None
        try:
            pod_record.volumes = mounting.result()
        except UnmountedVolumesError as error:
            self._report(pod_record, error)
            self._back_off(pod_record, error)
            pod_record.image_layers.clear()  # an image may have gone since it was looked for
            delay_seconds = self._backoff_seconds(pod_record) or RETRY_SECONDS
            raise StartFailure("ContainerCreating", "", delay_seconds) from error
        for volume in pod_record.volumes.values():
            if volume.warning is not None:
                self._record(pod_record.pod, "Warning", *volume.warning)
        pod_record.lacks_volumes = False
        pod_record.mount_failures = 0
        pod_record.mount_begun_at = None
        pod_record.told.clear()

    def _report(self, pod_record: PodRecord, error: UnmountedVolumesError) -> None:
        """Tell of each failure, but more rarely than is tried: as often as the kubelet would try."""
        now = self._clock.monotonic()
        for failure in error.failures:
            if pod_record.told.is_due(str(failure), now):
                for reason in failure.reasons:
                    self._record(pod_record.pod, "Warning", reason, str(failure))
        self._sum_up(pod_record, error.unmounted)

    def _sum_up(self, pod_record: PodRecord, unmounted: Sequence[str]) -> None:
        """Tell what a Pod has been waiting for; the kubelet gives up its wait at times, only to begin another."""
        if self._wait_for_summary(pod_record) > 0:
            return
        pod_record.mount_begun_at = self._clock.monotonic()
        message = unmounted_message(unmounted, (), "context deadline exceeded")
        self._record(pod_record.pod, "Warning", "FailedMount", message)

    def _wait_for_summary(self, pod_record: PodRecord) -> float:
        now = self._clock.monotonic()
        if pod_record.mount_begun_at is None:
            pod_record.mount_begun_at = now
        return pod_record.mount_begun_at + SUMMARY_SECONDS - now

    async def _is_done_soon(self, mounting: asyncio.Task[Mapping[str, MountedVolume]]) -> bool:
        done = asyncio.Event()
        mounting.add_done_callback(lambda task: done.set())
        if not mounting.done():
            await run_until(done, self._clock.sleep(WAIT_SECONDS_MAX))
        return mounting.done()

    def _back_off(self, pod_record: PodRecord, error: UnmountedVolumesError) -> None:
        """Objects that are missing may come at any time; what the engine refuses is tried ever more rarely."""
        if any(isinstance(failure, EngineVolumeError) for failure in error.failures):
            delay_seconds = min(ENGINE_RETRY_SECONDS_MAX, RETRY_SECONDS * 2**pod_record.mount_failures)
            pod_record.mount_failures += 1
            pod_record.mount_again_at = self._clock.monotonic() + delay_seconds

    def _backoff_seconds(self, pod_record: PodRecord) -> float:
        return max(0.0, pod_record.mount_again_at - self._clock.monotonic())


def _used_names(pod: ReadOnlyObject) -> frozenset[str]:
    mounted, mapped = used_volumes(pod)
    return mounted | mapped
