"""Questions to the API server about clients of the node API: whose token is this, and may they do that?

Answers are kept as long as the kubelet keeps them. Upstream: k8s.io/apiserver's token and authorizer webhooks with the
defaults of KubeletConfiguration (authentication.webhook.cacheTTL, authorization.webhook.cache…TTL), v1.36.
"""

from __future__ import annotations

import hashlib
from typing import Any, Generic, TypeVar

from control.api.builtin_kinds import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from control.api.clock import Clock
from control.api.exchange import User
from control.client.client import Client

TOKEN_SECONDS = 120.0
ALLOWED_SECONDS = 300.0
DENIED_SECONDS = 30.0
ENTRIES_MAX = 4096

Key = TypeVar("Key")
Answer = TypeVar("Answer")


class AccessReviews:
    """Asks, and remembers. What the API server cannot answer rises as `ApiError` or `ServerUnavailableError`."""

    def __init__(self, client: Client, clock: Clock, *, node_name: str) -> None:
        self._client = client
        self._node_name = node_name
        self._users: _Memory[bytes, User | None] = _Memory(clock)
        self._decisions: _Memory[tuple[Any, ...], bool] = _Memory(clock)

    async def token_user(self, token: str) -> User | None:
        """Whom a bearer token stands for; None if it proves nothing."""
        key = hashlib.sha256(token.encode()).digest()  # tokens themselves are not kept
        known = self._users.find(key)
        if known is not None:
            return known[0]
        review = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}}
        status = (await self._client.create(TOKEN_REVIEWS, review)).get("status") or {}
        user = _read_user(status.get("user") or {}) if status.get("authenticated") else None
        self._users.keep(key, user, TOKEN_SECONDS)
        return user

    async def is_allowed(self, user: User, verb: str, subresource: str) -> bool:
        """Whether somebody may do that to a subresource of this Node."""
        extra = {name: list(values) for name, values in sorted(user.extra.items())}
        key = (user.name, user.uid, user.groups, str(extra), verb, subresource)
        known = self._decisions.find(key)
        if known is not None:
            return known[0]
        attributes = {"verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource}
        spec = {
            "user": user.name,
            "uid": user.uid,
            "groups": list(user.groups),
            "extra": extra,
            "resourceAttributes": {**attributes, "name": self._node_name},
        }
        review = {"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec}
        status = (await self._client.create(SUBJECT_ACCESS_REVIEWS, review)).get("status") or {}
        allowed = bool(status.get("allowed"))
        self._decisions.keep(key, allowed, ALLOWED_SECONDS if allowed else DENIED_SECONDS)
        return allowed


def _read_user(info: dict[str, Any]) -> User:
    return User(
        name=str(info.get("username") or ""),
        uid=str(info.get("uid") or ""),
        groups=tuple(info.get("groups") or ()),
        extra={name: tuple(values) for name, values in (info.get("extra") or {}).items()},
    )


class _Memory(Generic[Key, Answer]):
    """Answers, each for its time. When there are too many all are asked for anew."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: dict[Key, tuple[Answer, float]] = {}

    def find(self, key: Key) -> tuple[Answer] | None:
        """The answer, in a tuple since it may be None itself."""
        entry = self._answers.get(key)
        return (entry[0],) if entry is not None and self._clock.monotonic() < entry[1] else None

    def keep(self, key: Key, answer: Answer, seconds: float) -> None:
        if len(self._answers) >= ENTRIES_MAX:
            self._answers.clear()
        self._answers[key] = (answer, self._clock.monotonic() + seconds)
