"""`Fence`: a process that leads no longer writes nothing, not even in the moment before it has noticed.

A process that was stopped (by a signal, by its virtual machine) goes on where it was, with a head full of what was true
then; its loops run a few steps before its leadership's end reaches them. Its requests are judged by the clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

from control.api.exchange import WatchEvent
from control.api.objects import Object
from control.client.transport import Query, ServerUnavailableError, Transport


class Fence:
    """Whether writes pass. Open until `may_write` is set to something that says no."""

    def __init__(self) -> None:
        self.may_write: Callable[[], bool] = lambda: True

    def around(self, transport: Transport) -> Transport:
        """The same transport behind this fence."""
        return FencedTransport(transport, self)


class FencedTransport:
    """A `Transport` whose writes fail as if the server were away while the fence is closed."""

    def __init__(self, transport: Transport, fence: Fence) -> None:
        self._transport = transport
        self._fence = fence

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: Object | list[Object] | None = None,
    ) -> Object:
        """Send one request. Raises ServerUnavailableError for a write that may not be."""
        if method != "GET" and not self._fence.may_write():
            raise ServerUnavailableError(f"cannot {method} {path}: this process leads no longer")
        return await self._transport.request(method, path, query=query, headers=headers, body=body)

    def watch(self, path: str, *, query: Query = ()) -> AsyncIterator[list[WatchEvent]]:
        """Open a watch."""
        return self._transport.watch(path, query=query)

    async def close(self) -> None:
        """Release connections."""
        await self._transport.close()
