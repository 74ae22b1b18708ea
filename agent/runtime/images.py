"""Making a container's image present: pull policy, one pull per image at a time, back-off, in the kubelet's words.

Called by the Pod worker before a container is created. Images that were built on this engine are used at once, also
with policy Always: no registry has ever seen them, so asking one could only fail or hand out a stranger's image.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.runtime.image_reference import default_pull_policy, is_image_reference, qualified_reference
from agent.runtime.protocol import ImageRecord, RegistryCredentials, Runtime, RuntimeFailure
from control.api.clock import Clock

log = logging.getLogger(__name__)

BACKOFF_SECONDS_FIRST = 10.0  # the kubelet's (imageBackOffPeriod, MaxContainerBackOff)
BACKOFF_SECONDS_MAX = 300.0

# (event type, reason, message): Normal/Warning, Pulling/Pulled/Failed/BackOff/...
RecordEvent = Callable[[str, str, str], None]


@dataclass(slots=True)
class _Backoff:
    seconds: float
    until: float
    message: str


class PullRecord(Protocol):
    """Remembers which images Podling pulled."""

    async def add(self, reference: str, image: ImageRecord, *, was_absent: bool) -> None:
        """A pull has ended; `was_absent` says that the engine did not have the image before."""
        ...


class ImagePuller:
    """Makes images present. One per agent."""

    def __init__(self, *, runtime: Runtime, pulled: PullRecord, clock: Clock) -> None:
        """The clock decides when a failed pull is tried again."""
        self._runtime = runtime
        self._pulled = pulled
        self._clock = clock
        self._pulls: dict[tuple[str, tuple[RegistryCredentials, ...]], asyncio.Task[ImageRecord]] = {}
        self._backoffs: dict[tuple[str, str], _Backoff] = {}

    async def ensure_image(
        self,
        reference: str,
        *,
        policy: str,
        pod_uid: str,
        credentials: Sequence[RegistryCredentials] = (),
        record_event: RecordEvent = lambda event_type, reason, message: None,
    ) -> ImageRecord:
        """Return the present image. Raises RuntimeFailure whose reason and message are those of the waiting state:
        InvalidImageName, ErrImageNeverPull, ErrImagePull, RegistryUnavailable, ImagePullBackOff, ImageInspectError.
        """
        if not is_image_reference(reference):
            message = (
                f'Failed to apply default image tag "{reference}": couldn\'t parse image name "{reference}": '
                "invalid reference format"
            )
            record_event("Warning", "InspectFailed", message)
            raise RuntimeFailure(message, reason="InvalidImageName")
        local = await self._find(reference, record_event)
        if local is not None and not self._needs_pull(local, policy or default_pull_policy(reference), reference):
            message = f'Container image "{reference}" already present on machine and can be accessed by the pod'
            record_event("Normal", "Pulled", message)
            return local
        if policy == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            record_event("Warning", "ErrImageNeverPull", message)
            raise RuntimeFailure(message, reason="ErrImageNeverPull")
        return await self._pull_with_backoff(reference, pod_uid, tuple(credentials), record_event)

    def backoff_seconds_left(self, reference: str, pod_uid: str) -> float:
        """Seconds until the image may be pulled again for that Pod; the worker wakes then."""
        backoff = self._backoffs.get((pod_uid, reference))
        return max(0.0, backoff.until - self._clock.monotonic()) if backoff else 0.0

    def forget_pod(self, pod_uid: str) -> None:
        """Drop the back-off of a Pod that is gone."""
        for key in [key for key in self._backoffs if key[0] == pod_uid]:
            del self._backoffs[key]

    async def _find(self, reference: str, record_event: RecordEvent) -> ImageRecord | None:
        try:
            return await self._runtime.find_image(qualified_reference(reference))
        except RuntimeFailure as error:
            message = f'Failed to inspect image "{reference}": {error}'
            record_event("Warning", "InspectFailed", message)
            raise RuntimeFailure(message, reason="ImageInspectError") from error

    def _needs_pull(self, local: ImageRecord, policy: str, reference: str) -> bool:
        if policy != "Always":
            return False
        if not local.digests:
            log.info("Used the image built on this engine without asking a registry", extra={"image": reference})
            return False
        return True

    async def _pull_with_backoff(
        self,
        reference: str,
        pod_uid: str,
        credentials: tuple[RegistryCredentials, ...],
        record_event: RecordEvent,
    ) -> ImageRecord:
        key = (pod_uid, reference)
        backoff = self._backoffs.get(key)
        if backoff is not None and self._clock.monotonic() < backoff.until:
            record_event("Normal", "BackOff", f'Back-off pulling image "{reference}"')
            raise RuntimeFailure(f'Back-off pulling image "{reference}": {backoff.message}', reason="ImagePullBackOff")
        record_event("Normal", "Pulling", f'Pulling image "{reference}"')
        started = self._clock.monotonic()
        try:
            image = await self._pull_once(reference, credentials)
        except RuntimeFailure as error:
            record_event("Warning", "Failed", f'Failed to pull image "{reference}": {error}')
            self._extend_backoff(key, error)
            raise RuntimeFailure(str(error), reason=error.reason or "ErrImagePull") from error
        self._backoffs.pop(key, None)
        seconds = format_duration(self._clock.monotonic() - started)
        record_event(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{reference}" in {seconds} ({seconds} including waiting). '
            f"Image size: {image.size_bytes} bytes.",
        )
        return image

    async def _pull_once(self, reference: str, credentials: tuple[RegistryCredentials, ...]) -> ImageRecord:
        """Pods that want the same image at once share one pull; it outlives any single one of them."""
        key = (reference, credentials)
        task = self._pulls.get(key)
        if task is None:
            task = asyncio.ensure_future(self._pull(reference, credentials))
            self._pulls[key] = task
            task.add_done_callback(lambda done: self._pulls.pop(key, None) and None)
        return await asyncio.shield(task)

    async def _pull(self, reference: str, credentials: tuple[RegistryCredentials, ...]) -> ImageRecord:
        before = {image.id for image in await self._runtime.list_images()}
        image = await self._runtime.pull_image(qualified_reference(reference), credentials)
        await self._pulled.add(reference, image, was_absent=image.id not in before)
        return image

    def _extend_backoff(self, key: tuple[str, str], error: RuntimeFailure) -> None:
        """Doubles from 10 s to 5 min; forgotten, as upstream's, when twice the maximum passed without a pull."""
        previous = self._backoffs.get(key)
        now = self._clock.monotonic()
        is_recent = previous is not None and now - previous.until <= 2 * BACKOFF_SECONDS_MAX
        seconds = min(BACKOFF_SECONDS_MAX, previous.seconds * 2) if previous and is_recent else BACKOFF_SECONDS_FIRST
        reason = error.reason or "ErrImagePull"
        self._backoffs[key] = _Backoff(seconds, now + seconds, f"{reason}: {error}")


def format_duration(seconds: float) -> str:
    """As Go prints a duration rounded to milliseconds: `350ms`, `1.2s`, `1m2.5s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}" if minutes else text
