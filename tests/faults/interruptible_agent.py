"""An agent that dies at a chosen call to its engine, its cgroups or the API: what it leaves behind there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.protocol import RuntimeEvent
from control.api.exchange import ApiRequest, ApiResponse
from tests.fakes.cgroup_tree import FakeCgroupTree

Endpoint = Callable[[ApiRequest], Awaitable[ApiResponse]]

VERBS = frozenset(
    (
        *("info", "list_containers", "inspect_container", "create_container", "start_container", "stop_container"),
        *(
            "kill_container",
            "update_container",
            "remove_container",
            "find_image",
            "list_images",
            "pull_image",
            "load_image",
        ),
        *("remove_image", "images_in_use", "run_exec", "find_volume", "list_volumes", "remove_volume"),
    )
)


class Fate:
    """When an agent dies: at the call with number `stop_at` (from 1). With `after` that one call still takes effect.

    What it calls are the engine, the cgroups and what changes the API.
    """

    def __init__(self, *, stop_at: int = 0, after: bool = False) -> None:
        self._stop_at = stop_at
        self._after = after
        self._dead = asyncio.Event()
        self.calls: list[str] = []

    @property
    def is_stopped(self) -> bool:
        """Whether the fatal call was made."""
        return 0 < self._stop_at <= len(self.calls)

    def note(self, name: str) -> bool:
        """Count a call; returns whether it takes effect."""
        self.calls.append(name)
        return not self.is_stopped or (self._after and len(self.calls) == self._stop_at)

    async def call(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call: the fatal one, and all that follow, never return."""
        takes_effect = self.note(name)
        answer = await work() if takes_effect else None
        if not self.is_stopped:
            return answer
        await self._dead.wait()
        raise asyncio.CancelledError

    def die(self) -> None:
        """The process is gone, and with it everybody who waits for an answer."""
        self._dead.set()


class InterruptibleRuntime:
    """The fake engine, as an agent of this fate reaches it."""

    def __init__(self, engine: FakeRuntime, fate: Fate) -> None:
        self._engine = engine
        self._fate = fate

    def events(self, labels: Mapping[str, str]) -> AsyncIterator[RuntimeEvent]:
        """The engine's events."""
        return self._engine.events(labels)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._engine, name)
        if name not in VERBS:
            return attribute

        async def call(*arguments: Any, **options: Any) -> Any:
            return await self._fate.call(name, lambda: attribute(*arguments, **options))

        return call


class InterruptibleCgroups:
    """The cgroups, as an agent of this fate reaches them: by calls that do not wait, so without effect once it died."""

    def __init__(self, tree: FakeCgroupTree, fate: Fate) -> None:
        self._tree = tree
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._tree, name)
        if name not in ("make", "write", "remove"):
            return attribute
        return lambda *arguments: attribute(*arguments) if self._fate.note(f"{name} a cgroup") else True


class InterruptibleApi:
    """The API, as an agent of this fate reaches it; what only reads is not counted."""

    def __init__(self, api: Endpoint, fate: Fate) -> None:
        self._api = api
        self._fate = fate

    async def __call__(self, request: ApiRequest) -> ApiResponse:
        """Carry out a request."""
        if request.method == "GET":
            return await self._api(request)
        answer: ApiResponse = await self._fate.call(f"{request.method} {request.path}", lambda: self._api(request))
        return answer
