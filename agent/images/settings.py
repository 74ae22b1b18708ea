"""What an agent is told about images, with the kubelet's flags and defaults."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from agent.images.credential_records import Verification, VerificationPolicy, parse_allowlist_pattern
from agent.runtime.shared_pulls import PullLimits
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
    pulls: PullLimits = field(default_factory=PullLimits)
    verification: Verification = field(default_factory=Verification)
    #: so many of the largest are in the Node's status; -1: all
    reported_max: int = 50


def add_image_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `python -m agent run` about images."""
    garbage = GarbagePolicy()
    add = parser.add_argument
    add("--image-gc-high-threshold", type=_percent, default=garbage.high_percent, metavar="PERCENT")
    add("--image-gc-low-threshold", type=_percent, default=garbage.low_percent, metavar="PERCENT")
    add("--minimum-image-ttl-duration", type=_duration, default=garbage.minimum_age_seconds, metavar="TIME")
    add("--image-maximum-gc-age", type=_duration, default=garbage.maximum_age_seconds, metavar="TIME")
    add("--serialize-image-pulls", action="store_true", help="pull one image after the other")
    add("--max-parallel-image-pulls", type=int, default=0, metavar="N", help="pull so many images at once (0: all)")
    add(
        "--image-pull-progress-deadline",
        type=_duration,
        default=PullLimits().progress_seconds_max,
        metavar="TIME",
        help="give up a pull that gets nowhere for so long (0: never)",
    )
    add(
        "--image-pull-credentials-verification-policy",
        choices=[policy.value for policy in VerificationPolicy],
        default=Verification().policy.value,
        help="which images that are there a Pod may use without showing that it could pull them",
    )
    add(
        "--preloaded-images-verification-allowlist",
        type=_allowlist,
        default=(),
        metavar="NAME,...",
        help="images that any Pod may use with NeverVerifyAllowlistedImages: repositories, NAME/* for all below",
    )
    add("--node-status-max-images", type=int, default=50, metavar="N", help="how many images the Node lists (-1: all)")
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
    if options.max_parallel_image_pulls < 0 or (options.serialize_image_pulls and options.max_parallel_image_pulls > 1):
        raise ValueError(
            "invalid configuration: maxParallelImagePulls (--max-parallel-image-pulls) "
            f"{options.max_parallel_image_pulls} must be a positive number, and 1 with serializeImagePulls "
            "(--serialize-image-pulls)"
        )
    if options.node_status_max_images < -1:
        raise ValueError(
            "invalid configuration: nodeStatusMaxImages (--node-status-max-images) "
            f"{options.node_status_max_images} must be -1 or greater"
        )
    policy, allowlist = (
        options.image_pull_credentials_verification_policy,
        options.preloaded_images_verification_allowlist,
    )
    verification = Verification(policy=VerificationPolicy(policy), allowlist=allowlist)
    if allowlist and verification.policy is not VerificationPolicy.ALLOWLISTED:
        raise ValueError(
            "invalid configuration: preloadedImagesVerificationAllowlist (--preloaded-images-verification-allowlist) "
            f"can't be set with imagePullCredentialsVerificationPolicy {policy}"
        )
    return ImageSettings(
        verification=verification,
        reported_max=options.node_status_max_images,
        pulls=PullLimits(
            parallel_max=1 if options.serialize_image_pulls else options.max_parallel_image_pulls,
            progress_seconds_max=options.image_pull_progress_deadline,
        ),
        garbage=GarbagePolicy(
            high_percent=high,
            low_percent=low,
            minimum_age_seconds=youngest,
            maximum_age_seconds=oldest,
            all_images=options.image_gc_all_images,
        ),
    )


def _allowlist(text: str) -> tuple[str, ...]:
    try:
        return tuple(parse_allowlist_pattern(pattern) for pattern in text.split(",") if pattern)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
