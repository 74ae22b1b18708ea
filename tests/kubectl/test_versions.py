"""The suite means nothing if it ran with one kubectl alone."""

from __future__ import annotations

from tests.cluster import oldest_and_newest


def test_at_least_two_versions_of_kubectl_are_tested() -> None:
    versions = [str(item) for item in oldest_and_newest()]
    assert len(versions) >= 2, f"found {versions or 'none'}; PODLING_KUBECTLS may name more binaries"
