"""Ends what a step of a Pod's worker waits for, a hook that hangs, when the Pod has been active for too long."""

from __future__ import annotations

import asyncio

from agent.pods.pod_record import PodRecord
from control.api.clock import Clock


class DeadlineWatch:
    """Sets the record's `ending` at the Pod's deadline, which may be brought forward."""

    def __init__(self, pod_record: PodRecord, clock: Clock) -> None:
        self._record = pod_record
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def set(self, seconds_left: float | None) -> None:
        """The deadline is that far away; None: there is none."""
        if self._task is not None:
            self._task.cancel()
        self._task = None if seconds_left is None else self._record.spawn(self._end_after(seconds_left))

    async def _end_after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._record.ending.set()
