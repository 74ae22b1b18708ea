"""Carries out a preemption: lets Pods fail so that a critical one fits, and waits until they have ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from agent.node.preemption import DISRUPTION_MESSAGE, MESSAGE, REASON
from agent.node.release import wait_until_released
from agent.pods.rejection import Rejection
from control.api.clock import Clock
from control.api.meta import object_key
from control.api.objects import ReadOnlyObject

logger = logging.getLogger(__name__)


class PodPreemptor:
    """Acts for one node. `fail` lets a Pod fail, `is_released` says when it holds nothing of the node any more."""

    def __init__(
        self,
        *,
        fail: Callable[[str, Rejection], None],
        is_released: Callable[[str], bool],
        record: Callable[..., None],
        clock: Clock,
    ) -> None:
        self._fail = fail
        self._is_released = is_released
        self._record = record
        self._clock = clock

    async def preempt(self, pods: Sequence[ReadOnlyObject]) -> None:
        """Return when all of them have ended, each within its own grace period."""
        rejection = Rejection(reason=REASON, message=MESSAGE, disruption=DISRUPTION_MESSAGE)
        for pod in pods:
            logger.warning("Preempting a Pod pod=%s", object_key(pod))
            self._record(pod, "Warning", REASON, MESSAGE)
            self._fail(pod["metadata"]["uid"], rejection)
        await wait_until_released(pods, self._is_released, self._clock)
