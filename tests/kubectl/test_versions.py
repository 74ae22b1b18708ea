"""The suite means nothing if it ran with one kubectl alone."""

from __future__ import annotations

from pathlib import Path

from tests.cluster import oldest_and_newest, unpack_old_kubectl


def test_at_least_two_versions_of_kubectl_are_tested(tmp_path: Path) -> None:
    recent = oldest_and_newest()
    assert recent, "found no recent one; PODLING_KUBECTLS may name more binaries"
    versions = {str(item) for item in (unpack_old_kubectl(tmp_path), *recent) if item}
    assert len(versions) >= 2, f"found {versions}; PODLING_KUBECTLS may name more binaries"
