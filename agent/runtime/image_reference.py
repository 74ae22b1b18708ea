"""References of images: their grammar and their short and long forms. Pure."""

from __future__ import annotations

import re

HUB = "docker.io"
#: what `docker login` calls Docker Hub
HUB_KEY = "index.docker.io"

# The grammar of github.com/distribution/reference, as far as it decides validity.
_DOMAIN = (
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])"
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?"
)


def is_image_reference(text: str) -> bool:
    """Whether the text is a well-formed reference: name, tag, digest. An image id is none."""
    return _REFERENCE.fullmatch(text) is not None


def default_pull_policy(reference: str) -> str:
    """Always for `:latest` and for no tag at all, else IfNotPresent: the API's default."""
    match = _REFERENCE.fullmatch(reference)
    if match is None or match["digest"]:
        return "IfNotPresent"
    return "Always" if match["tag"] in (None, "latest") else "IfNotPresent"


def split_reference(reference: str) -> tuple[str, str]:
    """The repository, and the digest or else the tag: a digest says all that a tag beside it could."""
    name, at, digest = reference.partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = name, "latest"
    return repository, digest if at else tag


def repository_name(reference: str) -> str:
    """`registry/repository` without tag and digest, Docker Hub named and its short names made long."""
    name = reference.partition("@")[0]
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository = name
    first, slash, rest = repository.partition("/")
    if not slash:
        return f"{HUB}/library/{repository}"
    if first in (HUB, HUB_KEY):
        return f"{HUB}/{rest}" if "/" in rest else f"{HUB}/library/{rest}"
    return repository if "." in first or ":" in first or first == "localhost" else f"{HUB}/{repository}"


def familiar_reference(reference: str) -> str:
    """As Docker lists it: with a tag, and without the name of Docker Hub."""
    name = qualified_reference(reference)
    for hub in ("docker.io/", "index.docker.io/"):
        name = name.removeprefix(hub)
    return name.removeprefix("library/") if name.count("/") == 1 else name


def qualified_reference(reference: str) -> str:
    """With `:latest` where there is neither tag nor digest."""
    match = _REFERENCE.fullmatch(reference)
    return f"{reference}:latest" if match is not None and not match["tag"] and not match["digest"] else reference
