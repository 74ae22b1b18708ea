"""Images of Pods without blocking their workers: `ensure` answers at once, a pull runs on its own and wakes the worker.

Policy, back-off, sharing of pulls and Events are `agent.runtime.images`; here is what one start of a container needs of
them. Images that were seen lately are not looked up again: creating a container finds out if one has vanished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from agent.runtime.image_reference import default_pull_policy, qualified_reference
from agent.runtime.images import ImagePuller, RecordEvent
from agent.runtime.protocol import ImageRecord, RegistryCredentials, Runtime, RuntimeFailure
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject

PRESENT_SECONDS_MAX = 60.0
# The kubelet's next sync after a failed pull, which turns ErrImagePull into ImagePullBackOff.
REPORT_BACKOFF_AFTER_SECONDS = 2.0
# For obstacles that only a change from outside removes.
LOOK_AGAIN_SECONDS = 10.0


class ImagePendingError(Exception):
    """The image is being pulled; the worker is woken when that ends."""


class ImageProblemError(Exception):
    """There is no image to run: a waiting reason, its message, and when to look again."""

    def __init__(self, reason: str, message: str, retry_seconds: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_seconds = retry_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """What one start of a container needs. `attempt` distinguishes starts: policy Always asks once for each."""

    pod: ReadOnlyObject
    container: ReadOnlyObject
    attempt: int
    credentials: Callable[[], Awaitable[Sequence[RegistryCredentials]]]
    record: RecordEvent
    wake: Callable[[], None]

    @property
    def pod_uid(self) -> str:
        """UID of the Pod."""
        return str(self.pod["metadata"]["uid"])

    @property
    def image(self) -> str:
        """The image reference as the Pod has it."""
        return str(self.container.get("image", ""))

    @property
    def policy(self) -> str:
        """The pull policy; only a Pod that came around the API server lacks one."""
        return str(self.container.get("imagePullPolicy") or default_pull_policy(self.image))

    @property
    def key(self) -> str:
        """Identifies this start of this container with this image."""
        return f"{self.place}{self.image}"

    @property
    def place(self) -> str:
        """Where the image is wanted: what the keys of this start begin with, whatever the image."""
        return f"{self.pod_uid}/{self.container['name']}/{self.attempt}/"


class ImagePulls:
    """Images for starts of containers."""

    def __init__(self, runtime: Runtime, puller: ImagePuller, clock: Clock) -> None:
        self._runtime = runtime
        self._puller = puller
        self._clock = clock
        self._seen: dict[str, tuple[float, ImageRecord]] = {}
        self._by_id: dict[str, ImageRecord] = {}
        self._tasks: dict[str, asyncio.Task[ImageRecord]] = {}

    async def ensure(self, request: ImageRequest) -> ImageRecord:
        """Return the image. Raises ImagePendingError or ImageProblemError."""
        task = self._tasks.get(request.key)
        if task is None:
            self._cancel(request.place)  # what was pulled before the Pod was given another image
            image = self._find_seen(request)
            if image is not None:
                message = f'Container image "{request.image}" already present on machine and can be accessed by the pod'
                request.record("Normal", "Pulled", message)
                return image
            task = await self._begin(request)
        if not task.done():
            raise ImagePendingError
        del self._tasks[request.key]
        try:
            image = task.result()
        except RuntimeFailure as error:
            raise self._problem(request, error) from error
        self._remember(request.image, image)
        return image

    def forget_image(self, reference: str) -> None:
        """The engine says that the image is gone."""
        self._seen.pop(qualified_reference(reference), None)

    def forget_seen(self) -> None:
        """The engine says that images changed: look again."""
        self._seen.clear()

    async def find_by_id(self, image_id: str) -> ImageRecord | None:
        """The image of a container; ids never change their content, so each is read once."""
        image = self._by_id.get(image_id)
        if image is None:
            image = await self._runtime.find_image(image_id)
            if image is not None:
                self._by_id[image_id] = image
        return image

    def forget_pod(self, pod_uid: str) -> None:
        """Drop what is remembered of a Pod that ends, and stop waiting for its pulls: they end when no other waits."""
        self._cancel(f"{pod_uid}/")
        self._puller.forget_pod(pod_uid)

    async def close(self) -> None:
        """Stop waiting for pulls, and pulling."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._puller.close()

    def _cancel(self, prefix: str) -> None:
        for key in [key for key in self._tasks if key.startswith(prefix)]:
            self._tasks.pop(key).cancel()

    def _find_seen(self, request: ImageRequest) -> ImageRecord | None:
        """An image that needs no question to the engine or a registry."""
        entry = self._seen.get(qualified_reference(request.image))
        if entry is None or self._clock.monotonic() - entry[0] > PRESENT_SECONDS_MAX:
            return None
        image = entry[1]
        if (request.policy == "Always" and image.digests) or not self._puller.is_for_all(request.image, image):
            return None
        return image

    async def _begin(self, request: ImageRequest) -> asyncio.Task[ImageRecord]:
        """Ask the puller; returns as soon as it has an answer or has begun to pull."""
        pulling = asyncio.Event()

        def record(type: str, reason: str, message: str) -> None:
            request.record(type, reason, message)
            if reason == "Pulling":
                pulling.set()

        async def ensure() -> ImageRecord:
            return await self._puller.ensure_image(
                request.image,
                policy=request.policy,
                pod_uid=request.pod_uid,
                credentials=await request.credentials(),
                record_event=record,
            )

        task = asyncio.ensure_future(ensure())
        self._tasks[request.key] = task
        began = asyncio.ensure_future(pulling.wait())
        try:
            await asyncio.wait({task, began}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            began.cancel()
        if not task.done():
            task.add_done_callback(lambda done: request.wake() if self._tasks.get(request.key) is done else None)
        return task

    def _remember(self, reference: str, image: ImageRecord) -> None:
        self._seen[qualified_reference(reference)] = (self._clock.monotonic(), image)
        self._by_id[image.id] = image

    def _problem(self, request: ImageRequest, error: RuntimeFailure) -> ImageProblemError:
        reason = error.reason or "ErrImagePull"
        if reason == "ImagePullBackOff":
            retry = self._puller.backoff_seconds_left(request.image, request.pod_uid)
        elif reason in ("ErrImagePull", "RegistryUnavailable"):
            retry = REPORT_BACKOFF_AFTER_SECONDS
        else:
            retry = LOOK_AGAIN_SECONDS
        return ImageProblemError(reason, str(error), retry)
