"""Graceful node shutdown: Pods end in the order of their importance before their node goes (KEP-2000, KEP-2712).

Reasons, messages and the two parts of the grace period are the kubelet's (pkg/kubelet/nodeshutdown, v1.36): what is not
critical ends first, within the whole period less the part that is kept for what is critical.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from agent.node.release import wait_until_released
from agent.pods.pod_spec import grace_period_seconds
from agent.pods.rejection import Rejection
from control.api.clock import Clock
from control.api.fit import AdmissionFailure
from control.api.objects import ReadOnlyObject
from control.api.pods import priority_of

logger = logging.getLogger(__name__)

CRITICAL_PRIORITY = 2_000_000_000
REASON = "Terminated"
MESSAGE = "Pod was terminated in response to imminent node shutdown."
NOT_ADMITTED = AdmissionFailure("NodeShutdown", "Pod was rejected as the node is shutting down.")
#: why the Node is not ready
PROBLEM = "node is shutting down"
#: What was killed at the end of its time is seen to have ended, and reported, a moment later.
SLACK_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownPeriods:
    """The kubelet's shutdownGracePeriod, and its shutdownGracePeriodCriticalPods, which is part of it."""

    total_seconds: float = 30.0
    critical_seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownGroup:
    """Pods that end together, and the time they have."""

    seconds: float
    pods: tuple[ReadOnlyObject, ...]

    def rejection_of(self, pod: ReadOnlyObject) -> Rejection:
        """How one of them ends: within its own grace period, if that is shorter."""
        grace = min(self.seconds, grace_period_seconds(pod))
        return Rejection(reason=REASON, message=MESSAGE, grace_seconds=grace, disruption=MESSAGE)


def plan_shutdown(pods: Iterable[ReadOnlyObject], periods: ShutdownPeriods) -> list[ShutdownGroup]:
    """The groups in the order in which they end; one without Pods takes no time and is left out."""
    everything = list(pods)
    critical = tuple(pod for pod in everything if priority_of(pod) >= CRITICAL_PRIORITY)
    others = tuple(pod for pod in everything if priority_of(pod) < CRITICAL_PRIORITY)
    critical_seconds = min(periods.critical_seconds, periods.total_seconds)
    groups = (
        ShutdownGroup(seconds=periods.total_seconds - critical_seconds, pods=others),
        ShutdownGroup(seconds=critical_seconds, pods=critical),
    )
    return [group for group in groups if group.pods]


class NodeShutdown:
    """Ends the Pods of one node. `fail` lets a Pod fail, `is_released` says when it holds nothing of the node any more.

    `announce` is called once, when it begins.
    """

    def __init__(
        self,
        *,
        pods: Callable[[], Iterable[ReadOnlyObject]],
        fail: Callable[[str, Rejection], None],
        is_released: Callable[[str], bool],
        announce: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._pods = pods
        self._fail = fail
        self._is_released = is_released
        self._announce = announce
        self._clock = clock
        self._has_begun = False

    @property
    def problem(self) -> str:
        """Why the node is not ready, empty while it does not shut down."""
        return PROBLEM if self._has_begun else ""

    def judge(self, pod: ReadOnlyObject) -> AdmissionFailure | None:
        """No Pod begins on a node that goes."""
        return NOT_ADMITTED if self._has_begun else None

    async def run(self, periods: ShutdownPeriods) -> Sequence[str]:
        """End all Pods; returns the UIDs of those that were told to, when they have ended or their time is over."""
        if self._has_begun:
            return []
        self._has_begun = True
        self._announce()
        told = []
        for group in plan_shutdown(self._pods(), periods):
            logger.info("Ending Pods for the node's shutdown pods=%d seconds=%g", len(group.pods), group.seconds)
            for pod in group.pods:
                told.append(pod["metadata"]["uid"])
                self._fail(pod["metadata"]["uid"], group.rejection_of(pod))
            seconds_max = group.seconds + SLACK_SECONDS
            if not await wait_until_released(group.pods, self._is_released, self._clock, seconds_max=seconds_max):
                logger.warning("Not all Pods ended in time seconds=%g", group.seconds)
        return told
