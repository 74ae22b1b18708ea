"""Which images go, in which order. Pure. Rules and words of pkg/kubelet/images/image_gc_manager.go, v1.36."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.images.settings import GarbagePolicy
from agent.runtime.protocol import ImageRecord
from control.api.sizes import format_size

NEVER = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUse:
    """An image that may be removed when nobody uses it. Times are monotonic seconds.

    `first_seen` is NEVER for what was there when the agent began, `last_used` for what no container has been seen to
    use since; `in_use` is what a container of the engine, or an image volume, uses now.
    """

    image: ImageRecord
    first_seen: float
    last_used: float
    in_use: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskState:
    """The file system that the images are on."""

    capacity_bytes: int
    available_bytes: int

    @property
    def used_percent(self) -> int:
        """Rounded up, as upstream's arithmetic on integers."""
        return 100 - min(self.available_bytes, self.capacity_bytes) * 100 // self.capacity_bytes


def excess_bytes(disk: DiskState, policy: GarbagePolicy) -> int:
    """How much to free: down to the low threshold once the high one is reached, else 0."""
    if policy.high_percent == 100 or disk.used_percent < policy.high_percent:
        return 0
    return disk.capacity_bytes * (100 - policy.low_percent) // 100 - min(disk.available_bytes, disk.capacity_bytes)


def rank_for_space(uses: Iterable[ImageUse], policy: GarbagePolicy, now: float) -> list[ImageRecord]:
    """What may be removed to free space: unused longest first. Young images are about to be used."""
    unused = [use for use in uses if not use.in_use and now - use.first_seen >= policy.minimum_age_seconds]
    return [use.image for use in sorted(unused, key=lambda use: (use.last_used, use.first_seen, use.image.id))]


def find_expired(uses: Iterable[ImageUse], policy: GarbagePolicy, now: float, *, began: float) -> list[ImageRecord]:
    """What nobody has used for the maximum age. Use is not remembered over restarts: the agent has to be that old."""
    oldest = policy.maximum_age_seconds
    if not oldest or now - began <= oldest:
        return []
    return [use.image for use in uses if not use.in_use and now - max(use.last_used, use.first_seen) > oldest]


def full_disk_message(disk: DiskState, freed_bytes: int) -> str:
    """The Event `FreeDiskSpaceFailed`."""
    return (
        f"Insufficient free disk space on the node's image filesystem ({disk.used_percent}% of "
        f"{format_size(disk.capacity_bytes)} used). Failed to free sufficient space by deleting unused images "
        f"(freed {freed_bytes} bytes). Investigate disk usage, as it could be used by active images, logs, volumes, "
        "or other data."
    )
