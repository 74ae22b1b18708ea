"""ServiceAccount tokens of projected volumes, kept until they are due for renewal.

As the kubelet: renewed after 80 % of their life, at the latest after 24 hours. Whoever checks a token does so by the
wall clock: when that jumps ahead, the token is renewed too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.volumes.protocol import ObjectSource
from control.api.clock import Clock
from control.api.objects import ReadOnlyObject

RENEW_FRACTION = 0.8
RENEW_SECONDS_MAX = 24 * 3600.0
DEFAULT_EXPIRATION_SECONDS = 3600

_Key = tuple[str, str, tuple[str, ...], int]


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float
    renew_at_wall: datetime


class TokenCache:
    """Tokens by Pod, ServiceAccount, audiences and life."""

    def __init__(self, *, objects: ObjectSource, clock: Clock) -> None:
        """Tokens are asked of `objects`."""
        self._objects = objects
        self._clock = clock
        self._tokens: dict[_Key, _Token] = {}

    async def get_token(self, pod: ReadOnlyObject, *, audiences: Sequence[str], expiration_seconds: int) -> str:
        """The token of the Pod's ServiceAccount; a new one when it is due."""
        account = pod["spec"].get("serviceAccountName") or "default"
        key = (pod["metadata"]["uid"], account, tuple(audiences), expiration_seconds)
        known = self._tokens.get(key)
        if known is not None and not self._is_due(known):
            return known.text
        text = await self._objects.create_token(
            pod["metadata"].get("namespace", "default"),
            account,
            audiences=audiences,
            expiration_seconds=expiration_seconds,
            pod=pod,
        )
        life = min(RENEW_SECONDS_MAX, expiration_seconds * RENEW_FRACTION)
        self._tokens[key] = _Token(text, self._clock.monotonic() + life, self._clock.now() + timedelta(seconds=life))
        return text

    def _is_due(self, token: _Token) -> bool:
        return self._clock.monotonic() >= token.renew_at or self._clock.now() >= token.renew_at_wall

    def forget_pod(self, pod_uid: str) -> None:
        """Drop the tokens of a Pod."""
        for key in [key for key in self._tokens if key[0] == pod_uid]:
            del self._tokens[key]
