"""Making a container's image present: pull policy, back-off, and what happens in the kubelet's words.

Called by the Pod worker before a container is created. Images that were built on this engine are used at once, also
with policy Always: no registry has ever seen them, so asking one could only fail or hand out a stranger's image.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from agent.runtime.image_backoff import ImageBackoff
from agent.runtime.image_reference import default_pull_policy, is_image_reference, qualified_reference
from agent.runtime.protocol import ImageRecord, RegistryCredentials, Runtime, RuntimeFailure
from agent.runtime.shared_pulls import CredentialRecords, PullLimits, PullRecord, SharedPull, SharedPulls
from control.api.clock import Clock
from control.api.durations import format_duration
from control.api.sizes import format_size

log = logging.getLogger(__name__)

# The first report of a pull that takes long, and the longest time between two: each interval is twice the one before.
PROGRESS_SECONDS_FIRST = 10.0
PROGRESS_SECONDS_MAX = 320.0

# (event type, reason, message): Normal/Warning, Pulling/Pulled/Failed/BackOff/...
RecordEvent = Callable[[str, str, str], None]
# Whether the node runs programs of a platform (`linux/arm64`).
CanRun = Callable[[str], bool]


class ImagePuller:
    """Makes images present. One per agent."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        pulled: PullRecord,
        credential_records: CredentialRecords,
        clock: Clock,
        limits: PullLimits | None = None,
        platform: str = "",
        can_run: CanRun = lambda platform: True,
    ) -> None:
        """The clock decides when a failed pull is tried again; `platform` is the node's own."""
        self._runtime = runtime
        self._clock = clock
        self._platform = platform
        self._can_run = can_run
        self._credential_records = credential_records
        self._pulls = SharedPulls(
            runtime=runtime,
            pulled=pulled,
            credential_records=credential_records,
            clock=clock,
            limits=limits or PullLimits(),
        )
        self._backoff = ImageBackoff()

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
        if (
            local is not None
            and not self._needs_pull(local, policy or default_pull_policy(reference), reference)
            and not await self._credential_records.must_pull(reference, local, credentials)
        ):
            message = f'Container image "{reference}" already present on machine and can be accessed by the pod'
            record_event("Normal", "Pulled", message)
            return local
        if policy == "Never":  # also of an image that is there and not for this Pod, which is not to hear of it
            message = f'Container image "{reference}" is not present with pull policy of Never'
            record_event("Warning", "ErrImageNeverPull", message)
            raise RuntimeFailure(message, reason="ErrImageNeverPull")
        return await self._pull_with_backoff(reference, pod_uid, tuple(credentials), record_event)

    def is_for_all(self, reference: str, image: ImageRecord) -> bool:
        """Whether every Pod may use an image that is there, without a question to a registry."""
        return self._credential_records.is_for_all(reference, image)

    def backoff_seconds_left(self, reference: str, pod_uid: str) -> float:
        """Seconds until the image may be pulled again for that Pod; the worker wakes then."""
        return self._backoff.seconds_left(pod_uid, reference, self._clock.monotonic())

    def forget_pod(self, pod_uid: str) -> None:
        """Drop the back-off of a Pod that is gone."""
        self._backoff.forget_pod(pod_uid)

    async def close(self) -> None:
        """Give up all pulls."""
        await self._pulls.close()

    async def _find(self, reference: str, record_event: RecordEvent) -> ImageRecord | None:
        try:
            return await self._runtime.find_image(qualified_reference(reference))
        except RuntimeFailure as error:
            message = f'Failed to inspect image "{reference}": {error}'
            record_event("Warning", "InspectFailed", message)
            raise RuntimeFailure(message, reason="ImageInspectError") from error

    def _needs_pull(self, local: ImageRecord, policy: str, reference: str) -> bool:
        """An image of another platform counts as absent: the registry may have the node's."""
        if policy != "Always":
            return not self._can_run(local.platform)
        if not local.digests:
            log.info("Used the image built on this engine without asking a registry", extra={"image": reference})
            return not self._can_run(local.platform)
        return True

    async def _pull_with_backoff(
        self,
        reference: str,
        pod_uid: str,
        credentials: tuple[RegistryCredentials, ...],
        record_event: RecordEvent,
    ) -> ImageRecord:
        if cause := self._backoff.cause(pod_uid, reference, self._clock.monotonic()):
            record_event("Normal", "BackOff", f'Back-off pulling image "{reference}"')
            raise RuntimeFailure(f'Back-off pulling image "{reference}": {cause}', reason="ImagePullBackOff")
        record_event("Normal", "Pulling", f'Pulling image "{reference}"')
        started = self._clock.monotonic()

        async def watch(pull: SharedPull) -> None:
            await self._report_progress(reference, pull, record_event)

        try:
            result = await self._pulls.pull(reference, credentials, watch)
            self._check_platform(reference, result.image)
        except RuntimeFailure as error:
            record_event("Warning", "Failed", f'Failed to pull image "{reference}": {error}')
            reason = error.reason or "ErrImagePull"
            self._backoff.extend(pod_uid, reference, f"{reason}: {error}", self._clock.monotonic())
            raise RuntimeFailure(str(error), reason=reason) from error
        self._backoff.reset(pod_uid, reference)
        record_event(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{reference}" in {_rounded(result.seconds)} '
            f"({_rounded(self._clock.monotonic() - started)} including waiting). "
            f"Image size: {result.image.size_bytes} bytes.",
        )
        return result.image

    def _check_platform(self, reference: str, image: ImageRecord) -> None:
        if not self._can_run(image.platform):
            raise RuntimeFailure(
                f"image with reference {reference} was found but does not match the specified platform: "
                f"wanted {self._platform}, actual: {image.platform}",
                reason="ErrImagePull",
            )

    async def _report_progress(self, reference: str, pull: SharedPull, record_event: RecordEvent) -> None:
        """An Event now and then while a pull takes long. Upstream has none."""
        seconds = PROGRESS_SECONDS_FIRST
        while True:
            await self._clock.sleep(seconds)
            record_event("Normal", "PullProgress", f'Pulling image "{reference}": {_describe(pull)}')
            seconds = min(PROGRESS_SECONDS_MAX, seconds * 2)


def _rounded(seconds: float) -> str:
    return format_duration(round(seconds, 3))


def _describe(pull: SharedPull) -> str:
    if pull.began is None:
        return "waiting for other pulls to end"
    if pull.progress is None:
        return "no answer from the registry yet"
    if pull.progress.is_queued:
        return "waiting for other downloads to end"
    size = pull.progress.size_bytes
    return f"downloaded {format_size(pull.progress.downloaded_bytes)} of {format_size(size)}"
