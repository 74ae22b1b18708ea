"""The window of events: what is no longer news keeps its bytes alone, and says the same when it is asked."""

from __future__ import annotations

from control.apiserver.cache.encoding import CachedObject
from control.apiserver.cache.event_window import NEWS_MAX, EventWindow
from control.apiserver.cache.watcher import ADDED, CacheEvent


def make_event(revision: int) -> CacheEvent:
    stored = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","resourceVersion":""}}'
    return CacheEvent(ADDED, revision, CachedObject("a", stored, revision))


def test_old_events_forget_what_can_be_made_again() -> None:
    window = EventWindow(0)
    events = [make_event(revision) for revision in range(1, NEWS_MAX + 11)]
    told = []
    for event in events:
        assert event.cached is not None
        told.append((event.encoded, event.cached.object))
        window.append(event)
    remembered = [event for event, (_, obj) in zip(events, told, strict=True) if event.cached.object is obj]  # type: ignore[union-attr]
    assert remembered == events[10:]
    assert [(event.encoded, event.cached.object) for event in window.after(0) if event.cached] == told
