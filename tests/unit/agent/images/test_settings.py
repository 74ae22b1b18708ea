"""The flags about images."""

from __future__ import annotations

import argparse

import pytest

from agent.images.credential_records import Verification, VerificationPolicy
from agent.images.settings import ImageSettings, add_image_flags, read_image_settings


def read(*arguments: str) -> ImageSettings:
    parser = argparse.ArgumentParser()
    add_image_flags(parser)
    return read_image_settings(parser.parse_args(arguments))


def test_the_defaults_are_the_kubelets() -> None:
    settings = read()

    assert settings == ImageSettings()
    assert (settings.garbage.high_percent, settings.garbage.low_percent) == (85, 80)
    assert (settings.garbage.minimum_age_seconds, settings.garbage.maximum_age_seconds) == (120, 0)


def test_flags_are_read() -> None:
    settings = read("--image-gc-high-threshold=100", "--image-maximum-gc-age=1h30m", "--serialize-image-pulls")

    assert settings.garbage.high_percent == 100
    assert settings.garbage.maximum_age_seconds == 5400
    assert settings.pulls.parallel_max == 1
    assert settings.verification == Verification()
    allowed = read(
        "--image-pull-credentials-verification-policy=NeverVerifyAllowlistedImages",
        "--preloaded-images-verification-allowlist=registry.example/app,registry.example/team/*",
    )
    assert allowed.verification == Verification(
        policy=VerificationPolicy.ALLOWLISTED, allowlist=("registry.example/app", "registry.example/team/")
    )
    assert read("--max-parallel-image-pulls=3", "--image-pull-progress-deadline=0").pulls.parallel_max == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image-gc-high-threshold=80"], "must be less than imageGCHighThresholdPercent"),
        (["--image-maximum-gc-age=2m"], "must be greater than imageMinimumGCAge"),
        (["--node-status-max-images=-2"], "must be -1 or greater"),
        (["--max-parallel-image-pulls=-1"], "must be a positive number"),
        (["--preloaded-images-verification-allowlist=registry.example/app"], "can't be set with"),
        (["--max-parallel-image-pulls=2", "--serialize-image-pulls"], "1 with serializeImagePulls"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(*arguments)


@pytest.mark.parametrize(
    "argument",
    [
        "--image-gc-low-threshold=101",
        "--minimum-image-ttl-duration=2",
        "--image-pull-credentials-verification-policy=Sometimes",
        "--preloaded-images-verification-allowlist=app",
    ],
)
def test_values_out_of_range_are_refused(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read(argument)
    assert argument.partition("=")[0] in capsys.readouterr().err
