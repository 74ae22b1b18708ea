"""What becomes of one more occurrence: a new Event, a higher count, or nothing. client-go's correlator, purely.

Three rules in order: ten different messages of one reason within ten minutes are combined; an Event seen before gets
a higher count instead of a sibling; an object may cause 25 Events at once and one more every five minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from control.api.objects import Object
from control.client.recent import Recent

REMEMBERED_MAX = 4096
SIMILAR_MESSAGES_MAX = 10
SIMILAR_SECONDS = 600.0
BURST = 25
REFILL_SECONDS = 300.0
COMBINED_PREFIX = "(combined from similar events): "

Key = tuple[str, ...]


@dataclass(slots=True)
class _Similar:
    messages: set[str] = field(default_factory=set)
    last_seconds: float = 0.0


@dataclass(slots=True)
class _Bucket:
    tokens: float = BURST
    seconds: float = 0.0


@dataclass(slots=True)
class _Observed:
    count: int
    name: str
    first_timestamp: str


@dataclass(frozen=True, slots=True)
class Correlated:
    """The Event to write; `is_new` says whether to create it or to patch count, lastTimestamp and message."""

    event: Object
    is_new: bool


class EventCorrelator:
    """Remembers recent Events. `seconds` are monotonic."""

    def __init__(self) -> None:
        self._similar: Recent[Key, _Similar] = Recent(REMEMBERED_MAX)
        self._observed: Recent[Key, _Observed] = Recent(REMEMBERED_MAX)
        self._buckets: Recent[Key, _Bucket] = Recent(REMEMBERED_MAX)

    def correlate(self, event: Object, seconds: float) -> Correlated | None:
        """Judge a new core/v1 Event (with its own name and count 1); None if its object causes too many."""
        event, key = self._combine(event, seconds)
        known = self._observed.find(key)
        if known is not None:
            event = {
                **event,
                "metadata": {**event["metadata"], "name": known.name},
                "firstTimestamp": known.first_timestamp,
                "count": known.count + 1,
            }
        self._observed.put(
            key,
            _Observed(count=event["count"], name=event["metadata"]["name"], first_timestamp=event["firstTimestamp"]),
        )
        if not self._take_token(_object_key(event), seconds):
            return None
        return Correlated(event, is_new=known is None)

    def _combine(self, event: Object, seconds: float) -> tuple[Object, Key]:
        group = _group_key(event)
        message = event["message"]
        similar = self._similar.find(group)
        if similar is None or seconds - similar.last_seconds > SIMILAR_SECONDS:
            similar = _Similar()
            self._similar.put(group, similar)
        similar.messages.add(message)
        similar.last_seconds = seconds
        if len(similar.messages) < SIMILAR_MESSAGES_MAX:
            return event, (*group, message)
        similar.messages.pop()
        return {**event, "message": COMBINED_PREFIX + message}, group

    def _take_token(self, key: Key, seconds: float) -> bool:
        bucket = self._buckets.find(key)
        if bucket is None:
            bucket = _Bucket(seconds=seconds)
            self._buckets.put(key, bucket)
        bucket.tokens = min(BURST, bucket.tokens + (seconds - bucket.seconds) / REFILL_SECONDS)
        bucket.seconds = seconds
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


def _object_key(event: Object) -> Key:
    source, involved = event["source"], event["involvedObject"]
    return (
        source.get("component", ""),
        source.get("host", ""),
        *(involved.get(part, "") for part in ("kind", "namespace", "name", "uid", "apiVersion")),
    )


def _group_key(event: Object) -> Key:
    return (
        *_object_key(event),
        event["involvedObject"].get("fieldPath", ""),
        event["type"],
        event["reason"],
        event["reportingComponent"],
        event["reportingInstance"],
    )
