"""Who may use an image that a node has pulled, and whether a Pod has to prove that it may. Pure.

Upstream: KEP-2535, pkg/kubelet/images/pullmanager, v1.36.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from agent.runtime.image_reference import repository_name
from agent.runtime.protocol import RegistryCredentials, SecretReference

#: beyond so many secrets a record is not added to when a further one turns out to hold a known login
SECRETS_MAX = 100


class VerificationPolicy(Enum):
    """imagePullCredentialsVerificationPolicy: which images on the node a Pod may use without proof."""

    NEVER_VERIFY = "NeverVerify"
    PRELOADED = "NeverVerifyPreloadedImages"
    ALLOWLISTED = "NeverVerifyAllowlistedImages"
    ALWAYS_VERIFY = "AlwaysVerify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The policy, and what it lists: names of repositories, or beginnings of them that end in `/`."""

    policy: VerificationPolicy = VerificationPolicy.PRELOADED
    allowlist: tuple[str, ...] = ()

    def is_required(self, reference: str, *, was_pulled: bool) -> bool:
        """Whether a Pod has to prove that it may use an image; `was_pulled`: by this node, at some time."""
        if self.policy is VerificationPolicy.PRELOADED:
            return was_pulled
        if self.policy is VerificationPolicy.ALLOWLISTED:
            name = repository_name(reference)
            return not any(name.startswith(one) if one.endswith("/") else name == one for one in self.allowlist)
        return self.policy is VerificationPolicy.ALWAYS_VERIFY


def parse_allowlist_pattern(pattern: str) -> str:
    """An entry of preloadedImagesVerificationAllowlist as `Verification` wants it. Raises ValueError in its words."""
    if pattern != pattern.strip():
        raise ValueError(f"leading/trailing spaces are not allowed: {pattern}")
    is_prefix = pattern.endswith("/*")
    name = pattern[:-1] if is_prefix else pattern
    if not name:
        raise ValueError(f"the supplied pattern is too short: {pattern}")
    if "*" in name:
        raise ValueError(f"not a valid wildcard pattern, only patterns ending with '/*' are allowed: {pattern}")
    if is_prefix:
        if name == "/":
            raise ValueError("at least registry hostname is required")
        return name
    if repository_name(name) != name:
        raise ValueError(f"neither tag nor digest is accepted in an image reference: {pattern}")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class PullAccess:
    """Who may use an image by one name: every Pod of the node, or whoever has one of the secrets (with their hashes).

    With neither everybody has to prove it.
    """

    for_all: bool = False
    secrets: tuple[tuple[SecretReference, str], ...] = ()

    def merged(self, other: PullAccess) -> PullAccess:
        """What two pulls have shown together; a secret's newer hash takes the place of its older."""
        if self.for_all or other.for_all:
            return PullAccess(for_all=True)
        return replace(self, secrets=tuple(sorted({**dict(self.secrets), **dict(other.secrets)}.items())))

    def admits(self, credentials: Sequence[RegistryCredentials]) -> PullAccess | None:
        """What is known with these credentials of a Pod; None when they prove nothing.

        A known login is enough, whichever secret it is from, and so is a known secret, whatever it holds by now.
        """
        if self.for_all:
            return self
        for one in credentials:
            if one.source is None:
                continue
            for source, digest in self.secrets:
                if digest == one.digest or source == one.source:
                    full = len(self.secrets) >= SECRETS_MAX
                    return self if full else self.merged(access_by(one))
        return None


def access_by(login: RegistryCredentials | None) -> PullAccess:
    """What a pull shows: without a Pod's login, that every Pod of the node may use the image."""
    if login is None or login.source is None:
        return PullAccess(for_all=True)
    return PullAccess(secrets=((login.source, login.digest),))
