"""Why a container does not start now: what the starter tells the executor."""

from __future__ import annotations

from agent.pods.actions import StopContainer


class StartFailure(Exception):  # noqa: N818 - an obstacle, not a defect
    """The container cannot run now: a waiting reason and its message. `retry_seconds` None waits for an event.

    `stop` says how a container that runs already, and must not, is stopped.
    """

    def __init__(
        self, reason: str, message: str, retry_seconds: float | None = None, *, stop: StopContainer | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_seconds = retry_seconds
        self.stop = stop


class AlreadyStartedError(Exception):
    """A former try got further than its answer: the container ran already. The worker looks again at once."""


class SandboxGoneError(Exception):
    """The sandbox died before it was wired or the container could join it; the worker looks again at once."""
