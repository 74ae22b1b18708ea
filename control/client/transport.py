"""The transport role: how a client's request reaches an API server (`http_transport.py`, `local_transport.py`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from control.api.exchange import WatchEvent
from control.api.objects import Object

Query = Sequence[tuple[str, str]]


class Transport(Protocol):
    """Sends requests. Failures are `ApiError`; a server that cannot be reached is `ServerUnavailableError`."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: Object | list[Object] | None = None,
    ) -> Object:
        """Send one request and return the decoded answer. Raises ApiError for a Status failure."""
        ...

    def watch(self, path: str, *, query: Query = ()) -> AsyncIterator[list[WatchEvent]]:
        """Open a watch and yield its events in batches until the server ends it. Raises ApiError."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class ServerUnavailableError(Exception):
    """The server did not answer: refused, reset, timed out. The request may or may not have happened."""
