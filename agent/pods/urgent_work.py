"""What is under way on the node that somebody waits for: Pods that start, and statuses on their way to the API.

Kept by the executor and the status reporter; whatever can wait a moment, as Events can, lets it pass.
"""

from __future__ import annotations

import asyncio


class UrgentWork:
    """Counts it."""

    def __init__(self) -> None:
        self._under_way = 0
        #: set while there is none
        self.over = asyncio.Event()
        self.over.set()

    def begin(self) -> None:
        """One more thing is under way."""
        self._under_way += 1
        self.over.clear()

    def end(self) -> None:
        """It is over; call once for each `begin`."""
        self._under_way -= 1
        if not self._under_way:
            self.over.set()
