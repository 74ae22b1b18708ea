"""The limit of requests in flight: what would only queue up is told to come back (429).

Upstream's defaults (--max-requests-inflight, --max-mutating-requests-inflight) and exemptions: members of
system:masters and streams are never counted.
"""

from __future__ import annotations

from control.api.errors import ApiError
from control.apiserver.request_context import RequestContext
from control.auth.attributes import MASTERS_GROUP

READING_MAX = 400
MUTATING_MAX = 200
_READING_VERBS = frozenset({"get", "list", "watch"})


class PriorityFilter:
    """Counts requests in flight, reading and mutating ones apart."""

    def __init__(self, *, reading_max: int = READING_MAX, mutating_max: int = MUTATING_MAX) -> None:
        self._maximum = {True: reading_max, False: mutating_max}
        self.in_flight = {True: 0, False: 0}

    async def __call__(self, context: RequestContext) -> None:
        """Take a slot until the request is answered."""
        if context.info.is_long_running or MASTERS_GROUP in context.user.groups or context.request.in_process:
            return
        is_reading = context.info.verb in _READING_VERBS
        if self.in_flight[is_reading] >= self._maximum[is_reading]:
            raise ApiError(
                429,
                "TooManyRequests",
                "Too many requests, please try again later.",
                details={"retryAfterSeconds": 1},
                headers=[("Retry-After", "1")],
            )
        self.in_flight[is_reading] += 1
        context.on_done.append(lambda: self._release(is_reading))

    def _release(self, is_reading: bool) -> None:
        self.in_flight[is_reading] -= 1
