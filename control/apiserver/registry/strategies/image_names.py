"""Image references: what the default pull policy follows from (upstream: pkg/util/parsers, distribution/reference)."""

from __future__ import annotations


def default_pull_policy(image: str) -> str:
    """`Always` for the tag latest or none at all, `IfNotPresent` for another tag or a digest."""
    return "Always" if image_tag(image) == "latest" else "IfNotPresent"


def image_tag(image: str) -> str:
    """The tag of a reference: empty with only a digest or for an empty name, `latest` when none is written."""
    name, _, digest = image.partition("@")
    last = name.rsplit("/", 1)[-1]
    _, colon, tag = last.partition(":")
    if colon:
        return tag
    return "" if digest or not name else "latest"
