"""A runtime that stops answering at a chosen call: what a process that dies there leaves on the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from agent.runtime.fake_runtime import FakeRuntime
from agent.runtime.protocol import RuntimeEvent

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


class InterruptibleRuntime:
    """The fake engine behind a counter: the call with number `stop_at` (from 1), and all that follow, never return.

    With `after` that one call takes effect before the silence.
    """

    def __init__(self, engine: FakeRuntime, *, stop_at: int = 0, after: bool = False) -> None:
        self._engine = engine
        self._stop_at = stop_at
        self._after = after
        self._dead = asyncio.Event()
        self.calls: list[str] = []

    @property
    def is_stopped(self) -> bool:
        """Whether the fatal call was made."""
        return 0 < self._stop_at <= len(self.calls)

    def die(self) -> None:
        """The process is gone, and with it everybody who waits for an answer."""
        self._dead.set()

    def events(self, labels: Mapping[str, str]) -> AsyncIterator[RuntimeEvent]:
        """The engine's events."""
        return self._engine.events(labels)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._engine, name)
        return self._counted(name, attribute) if name in VERBS else attribute

    def _counted(self, name: str, verb: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            if self.is_stopped:
                if self._after and len(self.calls) == self._stop_at:
                    await verb(*arguments, **options)
                await self._dead.wait()
                raise asyncio.CancelledError
            return await verb(*arguments, **options)

        return call
