"""What an agent is told about images, with the kubelet's flags and defaults."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from control.api.durations import parse_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbagePolicy:
    """When images are removed, as KubeletConfiguration (imageGCHighThresholdPercent, …, v1.36).

    Thresholds are percent of the disk in use; a high one of 100 removes nothing for want of space. A maximum age of 0
    is none. `all_images` takes in what others pulled, built or loaded.
    """

    high_percent: int = 85
    low_percent: int = 80
    minimum_age_seconds: float = 120.0
    maximum_age_seconds: float = 0.0
    all_images: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """All of it."""

    garbage: GarbagePolicy = field(default_factory=GarbagePolicy)


def add_image_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `python -m agent run` about images."""
    garbage = GarbagePolicy()
    add = parser.add_argument
    add("--image-gc-high-threshold", type=_percent, default=garbage.high_percent, metavar="PERCENT")
    add("--image-gc-low-threshold", type=_percent, default=garbage.low_percent, metavar="PERCENT")
    add("--minimum-image-ttl-duration", type=_duration, default=garbage.minimum_age_seconds, metavar="TIME")
    add("--image-maximum-gc-age", type=_duration, default=garbage.maximum_age_seconds, metavar="TIME")
    add("--image-gc-all-images", action="store_true", help="remove images that Podling did not pull as well")


def read_image_settings(options: argparse.Namespace) -> ImageSettings:
    """What the flags say. Raises ValueError, in the kubelet's words."""
    high, low = options.image_gc_high_threshold, options.image_gc_low_threshold
    if low >= high:
        raise ValueError(
            "invalid configuration: imageGCLowThresholdPercent (--image-gc-low-threshold) "
            f"{low} must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) {high}"
        )
    oldest, youngest = options.image_maximum_gc_age, options.minimum_image_ttl_duration
    if 0 < oldest <= youngest:
        raise ValueError(
            "invalid configuration: imageMaximumGCAge (--image-maximum-gc-age) "
            f"{oldest:g}s must be greater than imageMinimumGCAge (--minimum-image-ttl-duration) {youngest:g}s"
        )
    return ImageSettings(
        garbage=GarbagePolicy(
            high_percent=high,
            low_percent=low,
            minimum_age_seconds=youngest,
            maximum_age_seconds=oldest,
            all_images=options.image_gc_all_images,
        )
    )


def _percent(text: str) -> int:
    percent = int(text)
    if not 0 <= percent <= 100:
        raise argparse.ArgumentTypeError("must be between 0 and 100")
    return percent


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
