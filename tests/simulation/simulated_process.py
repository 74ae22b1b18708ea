"""A process: tasks that were started together and are killed together, without a word to anybody.

Which process a task belongs to is kept in its context, which every task and callback hands on to what it starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any

_CURRENT: ContextVar[SimulatedProcess | None] = ContextVar("simulated process", default=None)


class SimulatedProcess:
    """One process at a `place` (a host of the network)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, *, place: str) -> None:
        self.name = name
        self.place = place
        self.is_alive = True
        self.on_kill: list[Callable[[], None]] = []
        self.context: Context = copy_context()
        self.context.run(_CURRENT.set, self)
        self._loop = loop
        self._tasks: dict[asyncio.Task[Any], None] = {}

    @staticmethod
    def of(context: Context | None = None) -> SimulatedProcess | None:
        """The process that a context, or the code that asks, belongs to."""
        return _CURRENT.get() if context is None else context.get(_CURRENT)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something as this process."""
        return self._loop.create_task(work, context=self.context)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task was made in this process. What a dead one still makes, while it is torn down, ends at once."""
        if not self.is_alive:
            self._loop.call_soon(task.cancel)
            return
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    def kill(self) -> None:
        """SIGKILL: nothing that this process still tries to do reaches the world."""
        if not self.is_alive:
            return
        self.is_alive = False
        for callback in self.on_kill:
            callback()
        for task in list(self._tasks):
            task.cancel()
        self._tasks.clear()


async def end_if_dead(process: SimulatedProcess | None) -> None:
    """What a seam to the world asks first: a process that was killed does nothing more."""
    if process is not None and not process.is_alive:
        await asyncio.get_running_loop().create_future()
