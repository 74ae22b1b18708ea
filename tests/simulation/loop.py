"""An asyncio event loop without a machine: no sockets, no threads, and time that jumps to the next timer.

When nothing is ready, the clock is set to the earliest timer, so an hour of waiting costs nothing. asyncio promises
that callbacks which are ready run in the order they became so, and correct programs rely on it; this loop keeps that
promise. What a seed varies is when things become ready: every timer of the world outside (network, disk, engine) is
drawn from it. Tasks and futures hash by number, so that a set of them has one order on every run.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.simulation.simulated_process import SimulatedProcess

START = datetime(2026, 1, 1, tzinfo=UTC)
#: What one turn of the loop takes: work costs time here too, so that waiting for a moment never lasts for ever.
TURN_SECONDS = 1e-6
_numbers = itertools.count()


class StuckError(Exception):
    """Nothing is ready and no timer is set: the simulation would wait for ever."""


class NumberedTask(asyncio.Task):
    """A task whose hash is the same on every run."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._number = next(_numbers)
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._number


class NumberedFuture(asyncio.Future):
    """A future whose hash is the same on every run."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._number = next(_numbers)
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._number


class _Timers:
    """What `BaseEventLoop` calls its selector: instead of waiting it moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise StuckError("nothing is ready and no timer is set")
        if timeout > 0:
            self._loop.move_to_next_timer()
        self._loop.seconds += TURN_SECONDS
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. `seconds` is its time; `network` answers `create_connection` and `create_server`."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.network: Any = None
        self.failures: list[str] = []
        self._selector = _Timers(self)
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._note_failure)

    # --- time ---------------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self.seconds

    def move_to_next_timer(self) -> None:
        """Let time pass until something is due."""
        self.seconds = max(self.seconds, self._scheduled[0].when())

    def jump(self, seconds: float) -> None:
        """Let time pass without anybody running, as a suspended machine does."""
        self.seconds += seconds

    # --- determinism --------------------------------------------------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        """A numbered future."""
        return NumberedFuture(loop=self)

    @staticmethod
    def _make_task(loop: Any, coroutine: Coroutine[Any, Any, Any], context: Context | None = None) -> NumberedTask:
        task = NumberedTask(coroutine, loop=loop, context=context)
        process = SimulatedProcess.of(context)
        if process is not None:
            process.adopt(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Run it here and now: there are no threads."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    # --- the world ----------------------------------------------------------------------------------------------------

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        """Connect over the simulated network."""
        return await self.network.connect(protocol_factory, host, port)

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        """Listen on the simulated network."""
        return self.network.listen(protocol_factory, host, port)

    def _note_failure(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.failures.append(f"{context.get('message')}: {type(error).__name__ if error else ''} {error or ''}")

    def _process_events(self, event_list: list[Any]) -> None:
        return None

    def _write_to_self(self) -> None:
        return None

    def close(self) -> None:
        """Drop what is left; nothing of it may speak up afterwards."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False
        heapq.heapify(self._scheduled)
        super().close()


class HostClock:
    """The clock of one host: its wall time may be wrong, and stepped; its monotonic time is the loop's."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.error = timedelta()

    def now(self) -> datetime:
        """What the host believes the time is."""
        return START + timedelta(seconds=self._loop.seconds) + self.error

    def monotonic(self) -> float:
        """Seconds of the loop."""
        return self._loop.seconds

    async def sleep(self, seconds: float) -> None:
        """A timer of the loop."""
        await asyncio.sleep(seconds)
