"""`OwnLoop`: work the API server does by itself, controllers or not, when objects of some kinds change.

Upstream runs such loops inside kube-apiserver. Level-triggered: any change wakes one turn over everything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from control.api.exchange import ApiRequest, ApiResponse, User
from control.api.kinds import Kind
from control.api.objects import Object

if TYPE_CHECKING:
    from control.apiserver.app import ApiServer

_log = logging.getLogger("podling.apiserver")

#: How long after a failure the next turn comes without a change.
RETRY_SECONDS = 5.0


class OwnLoop:
    """Calls `step` after every change of a kind, once for all that happened meanwhile."""

    def __init__(self, server: ApiServer, kinds: Sequence[Kind], step: Callable[[], Awaitable[None]]) -> None:
        self._server = server
        self._kinds = kinds
        self._step = step
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._retry: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow the kinds."""
        self._tasks = [asyncio.create_task(self._follow(kind)) for kind in self._kinds]
        self._tasks.append(asyncio.create_task(self._run()))

    def stop(self) -> None:
        """End it."""
        for task in (*self._tasks, self._retry):
            if task is not None:
                task.cancel()

    def wake(self) -> None:
        """Ask for a turn."""
        self._changed.set()

    def wake_later(self) -> None:
        """Ask for a turn after a while: something could not be done."""
        if self._retry is None or self._retry.done():
            self._retry = asyncio.create_task(self._wake_after(RETRY_SECONDS))

    async def _wake_after(self, seconds: float) -> None:
        await self._server.clock.sleep(seconds)
        self.wake()

    async def _follow(self, kind: Kind) -> None:
        cache = self._server.registry.of(kind).cache
        while True:
            watcher = cache.watch()
            self.wake()  # whatever happened before the watch
            async for _ in watcher:
                self.wake()
            if not watcher.is_overrun:
                return  # the server stops

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._step()
            except Exception:
                _log.exception("Could not do own work: step=%s", self._step.__qualname__)
                self.wake_later()


async def send_own(
    server: ApiServer,
    user: User,
    method: str,
    path: str,
    body: Object | None = None,
    *,
    query: Sequence[tuple[str, str]] = (),
    content_type: str = "",
) -> ApiResponse:
    """Send a request of the server to itself."""
    headers = {"user-agent": "kube-apiserver"}
    if content_type:
        headers["content-type"] = content_type
    request = ApiRequest(
        method=method, path=path, query=query, headers=headers, body=body or b"", user=user, in_process=True
    )
    return await server.endpoint(request)
