"""Why a Pod fails without being run, or run on. Data; the node's judges make it, the Pod's worker carries it out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Upstream's reason and message, and how what runs already ends.

    `grace_seconds` shortens the Pod's own grace period (None: it stands). `disruption` is the message of the condition
    DisruptionTarget of a Pod that goes for the node's sake. `removes_containers`: what it wrote goes with it.
    """

    reason: str
    message: str
    grace_seconds: float | None = None
    disruption: str = ""
    removes_containers: bool = False


DEADLINE_EXCEEDED = Rejection(
    reason="DeadlineExceeded", message="Pod was active on the node longer than the specified deadline"
)
