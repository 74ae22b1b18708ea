"""The fake engine's events: everyone who listens gets what concerns their labels, until the feed breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from agent.runtime.fake_container import matches
from agent.runtime.protocol import ContainerRecord, EngineUnavailableError, RuntimeEvent


class FakeEventFeed:
    """Subscribers and their queues; None in a queue is the end."""

    def __init__(self) -> None:
        self._subscribers: list[tuple[Mapping[str, str], asyncio.Queue[RuntimeEvent | None]]] = []

    def emit(self, action: str, record: ContainerRecord) -> None:
        """Tell everyone whom it concerns."""
        event = RuntimeEvent(
            action=action,
            container_id=record.id,
            labels={**record.labels, "name": record.name, "image": record.image},
            exit_code=record.exit_code if action == "die" else None,
        )
        for labels, queue in self._subscribers:
            if matches(record.labels, labels):
                queue.put_nowait(event)

    def break_off(self) -> None:
        """Break every open stream, as a restart of the engine does."""
        for _, queue in self._subscribers:
            queue.put_nowait(None)

    async def events(self, labels: Mapping[str, str]) -> AsyncIterator[RuntimeEvent]:
        """Until `break_off`; then EngineUnavailableError."""
        queue: asyncio.Queue[RuntimeEvent | None] = asyncio.Queue()
        subscriber = (labels, queue)
        self._subscribers.append(subscriber)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._subscribers.remove(subscriber)
        raise EngineUnavailableError("lost the engine's events: the engine closed the stream")
