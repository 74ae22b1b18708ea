"""The allowlist of images that need no proof, and what is known of an image together."""

from __future__ import annotations

import re

import pytest

from agent.images.credential_records import (
    PullAccess,
    Verification,
    VerificationPolicy,
    access_by,
    parse_allowlist_pattern,
)
from agent.runtime.protocol import RegistryCredentials, SecretReference

SOURCE = SecretReference(namespace="default", name="secret", uid="u")
LOGIN = RegistryCredentials(password="old", source=SOURCE)


@pytest.mark.parametrize(
    ("reference", "required"),
    [
        ("busybox", False),
        ("docker.io/library/busybox:1@sha256:" + "0" * 64, False),
        ("busybox2", True),
        ("registry.example/team/app:1", False),
        ("registry.example/team2/app:1", True),
    ],
)
def test_images_of_the_allowlist_need_no_proof(reference: str, required: bool) -> None:
    patterns = tuple(map(parse_allowlist_pattern, ("docker.io/library/busybox", "registry.example/team/*")))
    verification = Verification(policy=VerificationPolicy.ALLOWLISTED, allowlist=patterns)
    assert verification.is_required(reference, was_pulled=True) is required


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (" a", "leading/trailing spaces are not allowed:  a"),
        ("", "the supplied pattern is too short: "),
        ("a*b", "not a valid wildcard pattern, only patterns ending with '/*' are allowed: a*b"),
        ("/*", "at least registry hostname is required"),
        ("registry.example/app:1", "neither tag nor digest is accepted in an image reference: registry.example/app:1"),
    ],
)
def test_patterns_that_mean_nothing_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_allowlist_pattern(pattern)


def test_a_pull_without_a_pods_login_shows_that_everybody_may() -> None:
    everybody = PullAccess(for_all=True)
    assert access_by(None) == access_by(RegistryCredentials(password="of the host")) == everybody
    assert everybody.merged(access_by(LOGIN)) == access_by(LOGIN).merged(everybody) == everybody


def test_a_newer_hash_takes_the_place_of_the_older() -> None:
    changed = RegistryCredentials(password="new", source=SOURCE)
    assert access_by(LOGIN).merged(access_by(changed)) == access_by(changed)


def test_a_record_of_many_secrets_admits_and_grows_no_more() -> None:
    secrets = tuple((SecretReference(namespace="n", name=f"{i:03}", uid=""), LOGIN.digest) for i in range(100))
    access = PullAccess(secrets=secrets)
    assert access.admits([LOGIN]) == access
