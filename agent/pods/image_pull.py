"""Images of Pods: is it there, must it be pulled, is the pull in its back-off. Pulls never block a Pod worker.

`ensure` answers at once: the image, or why there is none yet; a pull runs on its own and wakes the worker when it
ends. Events and texts are the kubelet's image manager's (pkg/kubelet/images/image_manager.go, v1.36).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from agent.pods.backoff import Backoff, image_key
from agent.pods.go_duration import format_duration
from agent.runtime.protocol import ImageRecord, RegistryCredentials, Runtime, RuntimeFailure
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject

# How long a positive answer of the engine is trusted; a vanished image shows at create and is looked up again.
PRESENT_SECONDS_MAX = 60.0
# The kubelet's next sync after a failed pull, which turns ErrImagePull into ImagePullBackOff.
REPORT_BACKOFF_AFTER_SECONDS = 2.0

RecordEvent = Callable[[str, str, str], None]


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
    """What one start of a container needs. `attempt` distinguishes starts: policy Always pulls once for each."""

    pod: ReadOnlyObject
    container: ReadOnlyObject
    attempt: int
    credentials: Callable[[], Awaitable[Sequence[RegistryCredentials]]]
    record: RecordEvent
    wake: Callable[[], None]

    @property
    def image(self) -> str:
        """The image reference as the Pod has it."""
        return str(self.container.get("image", ""))

    @property
    def key(self) -> str:
        """Identifies this start of this container."""
        return f"{self.pod['metadata']['uid']}/{self.container['name']}/{self.attempt}"


def with_default_tag(reference: str) -> str:
    """`nginx` is `nginx:latest`; a tag or digest stays."""
    if "@" in reference or ":" in reference.rpartition("/")[2]:
        return reference
    return f"{reference}:latest"


class ImagePulls:
    """Decides about images and runs pulls, at most `parallel_max` at a time."""

    def __init__(self, runtime: Runtime, clock: Clock, backoff: Backoff, *, parallel_max: int = 3) -> None:
        self._runtime = runtime
        self._clock = clock
        self._backoff = backoff
        self._slots = asyncio.Semaphore(parallel_max)
        self._present: dict[str, tuple[float, ImageRecord]] = {}
        self._pulling: dict[str, asyncio.Task[None]] = {}
        self._pulled: dict[str, ImageRecord] = {}
        self._failed: dict[str, ImageProblemError] = {}
        self._last_message: dict[str, str] = {}

    async def ensure(self, request: ImageRequest) -> ImageRecord:
        """Return the image. Raises ImagePendingError or ImageProblemError."""
        if request.key in self._pulled:
            return self._pulled.pop(request.key)
        if request.key in self._pulling:
            raise ImagePendingError
        if request.key in self._failed:
            raise self._failed.pop(request.key)
        policy = request.container.get("imagePullPolicy") or default_pull_policy(request.image)
        if policy != "Always":
            image = await self._find(request.image)
            if image is not None:
                message = f'Container image "{request.image}" already present on machine and can be accessed by the pod'
                request.record("Normal", "Pulled", message)
                return image
            if policy == "Never":
                message = f'Container image "{request.image}" is not present with pull policy of Never'
                request.record("Warning", "ErrImageNeverPull", message)
                raise ImageProblemError("ErrImageNeverPull", message, 10.0)
        self._refuse_in_backoff(request)
        self._pulling[request.key] = asyncio.ensure_future(self._pull(request))
        raise ImagePendingError

    def is_present(self, reference: str) -> bool:
        """True when the image was seen lately, so that `ensure` will not wait."""
        entry = self._present.get(with_default_tag(reference))
        return entry is not None and self._clock.monotonic() - entry[0] < PRESENT_SECONDS_MAX

    def forget_image(self, reference: str) -> None:
        """The engine says that the image is gone."""
        self._present.pop(with_default_tag(reference), None)

    async def find_by_id(self, image_id: str) -> ImageRecord | None:
        """The image of a container, cached for as long as the agent lives (ids never change their content)."""
        entry = self._present.get(image_id)
        if entry is not None:
            return entry[1]
        image = await self._runtime.find_image(image_id)
        if image is not None:
            self._present[image_id] = (self._clock.monotonic(), image)
        return image

    def forget_pod(self, pod_uid: str) -> None:
        """Drop what is remembered of a Pod that is gone and cancel its pulls."""
        prefix = f"{pod_uid}/"
        for key in [key for key in self._pulling if key.startswith(prefix)]:
            self._pulling.pop(key).cancel()
        for memory in (self._pulled, self._failed, self._last_message):
            for key in [key for key in memory if key.startswith(prefix)]:
                memory.pop(key)
        self._backoff.forget(prefix)

    async def close(self) -> None:
        """Cancel every pull."""
        tasks = list(self._pulling.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _find(self, reference: str) -> ImageRecord | None:
        name = with_default_tag(reference)
        entry = self._present.get(name)
        if entry is not None and self._clock.monotonic() - entry[0] < PRESENT_SECONDS_MAX:
            return entry[1]
        image = await self._runtime.find_image(name)
        if image is not None:
            self._remember(name, image)
        return image

    def _remember(self, name: str, image: ImageRecord) -> None:
        self._present[name] = (self._clock.monotonic(), image)
        self._present[image.id] = (self._clock.monotonic(), image)

    def _refuse_in_backoff(self, request: ImageRequest) -> None:
        name = with_default_tag(request.image)
        key = image_key(request.pod["metadata"]["uid"], name)
        now = self._clock.now()
        remaining = self._backoff.remaining_since_update(key, now)
        if remaining <= 0:
            return
        message = f'Back-off pulling image "{name}"'
        request.record("Normal", "BackOff", message)
        if key in self._last_message:
            message = f"{message}: {self._last_message[key]}"
        raise ImageProblemError("ImagePullBackOff", message, remaining)

    async def _pull(self, request: ImageRequest) -> None:
        name = with_default_tag(request.image)
        key = image_key(request.pod["metadata"]["uid"], name)
        request.record("Normal", "Pulling", f'Pulling image "{name}"')
        asked_at = self._clock.monotonic()
        try:
            credentials = await request.credentials()
            async with self._slots:
                started_at = self._clock.monotonic()
                image = await self._runtime.pull_image(name, credentials)
        except RuntimeFailure as error:
            request.record("Warning", "Failed", f'Failed to pull image "{name}": {error}')
            self._backoff.record(key, self._clock.now(), self._clock.now())
            problem = _pull_problem(name, error)
            self._last_message[key] = f"{problem.reason}: {problem.message}"
            self._failed[request.key] = problem
        else:
            self._remember(name, image)
            self._pulled[request.key] = image
            ended_at = self._clock.monotonic()
            request.record(
                "Normal",
                "Pulled",
                f'Successfully pulled image "{name}" in {format_duration(ended_at - started_at)} '
                f"({format_duration(ended_at - asked_at)} including waiting). Image size: {image.size_bytes} bytes.",
            )
        finally:
            self._pulling.pop(request.key, None)
            request.wake()


def default_pull_policy(reference: str) -> str:
    """What the API server defaults to; only Pods that came around it lack a policy."""
    return "Always" if with_default_tag(reference).endswith(":latest") else "IfNotPresent"


def _pull_problem(name: str, error: RuntimeFailure) -> ImageProblemError:
    if error.reason == "InvalidImageName":
        return ImageProblemError("InvalidImageName", str(error), 10.0)
    if error.reason == "RegistryUnavailable":
        message = f"image pull failed for {name} because the registry is unavailable: {error}"
        return ImageProblemError("RegistryUnavailable", message, REPORT_BACKOFF_AFTER_SECONDS)
    return ImageProblemError("ErrImagePull", str(error), REPORT_BACKOFF_AFTER_SECONDS)
