"""Bearer tokens of a transport: fixed ones, and ones that are fetched anew before they expire or when they are refused.

Tokens of files, of credential plugins and of ServiceAccounts differ in how they are fetched alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from control.api.clock import Clock


class TokenSource(Protocol):
    """Where a transport gets its token for each request."""

    async def get(self) -> str:
        """The token to send. Raises ApiError or ServerUnavailableError if there is none to be had."""
        ...

    def reject(self, token: str) -> bool:
        """The server refused this token (401); returns whether asking again may give another."""
        ...


@dataclass(frozen=True, slots=True)
class FixedToken:
    """A token that is what it is."""

    token: str

    async def get(self) -> str:
        """The token."""
        return self.token

    def reject(self, token: str) -> bool:
        """There is no other."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A token as it was fetched, good for so many seconds; None is until it is refused."""

    token: str
    lifetime_seconds: float | None = None


class RenewedToken:
    """A token that `fetch` gets when it is first needed, has come of age or was refused; one fetch at a time."""

    def __init__(self, fetch: Callable[[], Awaitable[IssuedToken]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._issued: IssuedToken | None = None
        self._fetched_at = 0.0
        self._fetching = asyncio.Lock()

    async def get(self) -> str:
        """The token, fetched anew if need be. Raises what the fetch raises."""
        async with self._fetching:
            if self._issued is None or self._is_old(self._issued):
                began = self._clock.monotonic()
                self._issued = await self._fetch()
                self._fetched_at = began
            return self._issued.token

    def reject(self, token: str) -> bool:
        """Fetch anew next time, unless that has happened since the refused request was sent."""
        if self._issued is not None and self._issued.token == token:
            self._issued = None
        return True

    def _is_old(self, issued: IssuedToken) -> bool:
        if issued.lifetime_seconds is None:
            return False
        return self._clock.monotonic() - self._fetched_at >= issued.lifetime_seconds
