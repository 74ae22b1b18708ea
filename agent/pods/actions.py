"""What a Pod worker can decide to do, as data.

`compute_actions.py` and `compute_termination.py` return these in the order in which they must happen;
`executor.py` carries them out and decides nothing. `cause` is the log line and the golden text of the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSandbox:
    """Create, start and wire a pause container."""

    attempt: int
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSandbox:
    """Start and wire a pause container that exists: a former agent got no further."""

    sandbox_id: str
    ip: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSandbox:
    """Kill a pause container and take its address off the host."""

    sandbox_id: str
    ip: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveSandbox:
    """Remove a dead pause container."""

    sandbox_id: str
    ip: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer:
    """Run the next attempt of a container: image, create, start, post-start hook.

    `backoff_seconds` and `round` are written on the container: see `backoff.py` and `container_history.py`.
    """

    container_name: str
    attempt: int
    cause: str
    backoff_seconds: float = 0.0
    round: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopContainer:
    """Run the pre-stop hook and send the stop signal; the container has `grace_seconds` until it is killed.

    `pod_deadline` is the end of the Pod's own grace period, if it is the Pod that stops; `restarts` says that it is
    stopped in order to run again, whatever its restart policy.
    """

    container_id: str
    container_name: str
    grace_seconds: float
    cause: str
    pod_deadline: datetime | None = None
    restarts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPreStop:
    """Run the pre-stop hook of a container whose turn to be stopped comes later."""

    container_id: str
    container_name: str
    grace_seconds: float
    cause: str
    pod_deadline: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KillContainer:
    """Send SIGKILL: the grace period is over."""

    container_id: str
    container_name: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeContainer:
    """Give a running container other resources."""

    container_id: str
    container_name: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizePod:
    """Give the Pod's cgroup other limits; with `raise_only` none gets smaller, because containers have more yet."""

    sandbox_id: str
    cause: str
    raise_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveContainer:
    """Remove a dead attempt."""

    container_id: str
    container_name: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackOff:
    """Do not restart yet: the container waits in CrashLoopBackOff."""

    container_name: str
    delay_seconds: float
    remaining_seconds: float
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeAfter:
    """Nothing to do now; look again later."""

    seconds: float
    cause: str


Action: TypeAlias = (
    CreateSandbox
    | StartSandbox
    | StopSandbox
    | RemoveSandbox
    | StartContainer
    | StopContainer
    | RunPreStop
    | KillContainer
    | ResizeContainer
    | ResizePod
    | RemoveContainer
    | BackOff
    | WakeAfter
)
