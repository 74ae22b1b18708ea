"""How long a Pod waits before an image that could not be had is tried again. Pure; upstream's flowcontrol.Backoff."""

from __future__ import annotations

from dataclasses import dataclass

BACKOFF_SECONDS_FIRST = 10.0  # the kubelet's (imageBackOffPeriod, MaxContainerBackOff)
BACKOFF_SECONDS_MAX = 300.0


@dataclass(frozen=True, slots=True)
class _Backoff:
    seconds: float
    until: float
    cause: str


class ImageBackoff:
    """By Pod and image. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._backoffs: dict[tuple[str, str], _Backoff] = {}

    def cause(self, pod_uid: str, reference: str, now: float) -> str:
        """Why the image may not be pulled yet; empty when it may."""
        return self._backoffs[pod_uid, reference].cause if self.seconds_left(pod_uid, reference, now) > 0 else ""

    def seconds_left(self, pod_uid: str, reference: str, now: float) -> float:
        """Until the image may be pulled again."""
        backoff = self._backoffs.get((pod_uid, reference))
        return max(0.0, backoff.until - now) if backoff else 0.0

    def extend(self, pod_uid: str, reference: str, cause: str, now: float) -> None:
        """Doubles from 10 s to 5 min; forgotten when twice the maximum passed without a pull."""
        before = self._backoffs.get((pod_uid, reference))
        is_recent = before is not None and now - before.until <= 2 * BACKOFF_SECONDS_MAX
        seconds = min(BACKOFF_SECONDS_MAX, before.seconds * 2) if before and is_recent else BACKOFF_SECONDS_FIRST
        self._backoffs[pod_uid, reference] = _Backoff(seconds, now + seconds, cause)

    def reset(self, pod_uid: str, reference: str) -> None:
        """The image was pulled."""
        self._backoffs.pop((pod_uid, reference), None)

    def forget_pod(self, pod_uid: str) -> None:
        """The Pod is gone."""
        for key in [key for key in self._backoffs if key[0] == pod_uid]:
            del self._backoffs[key]
