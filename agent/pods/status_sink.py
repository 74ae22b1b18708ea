"""Where a worker sends what it knows of its Pod; for API Pods that is `StatusReporter`."""

from __future__ import annotations

from typing import Protocol

from control.api.objects import Object, ReadOnlyObject


class StatusSink(Protocol):
    """Takes statuses, and is told of the end."""

    def submit(self, pod: ReadOnlyObject, status: Object) -> None:
        """Let this status stand in the API soon; a newer one replaces it while it waits."""
        ...

    def reconcile(self, pod: ReadOnlyObject, status: Object) -> None:
        """Take in what the API has now, and report again what somebody else has changed."""
        ...

    async def flush(self, uid: str) -> None:
        """Return when the last submitted status has been accepted, or will never be."""
        ...

    async def delete(self, pod: ReadOnlyObject) -> None:
        """Nothing of the Pod runs any more. Returns when that is settled."""
        ...

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a Pod."""
        ...
