"""Which Pods of the API are the node's to run, and which only show what it runs anyway."""

from __future__ import annotations

from control.api.objects import Object
from control.api.pods import is_mirror_pod
from control.client.informer import EventHandler


def route_pods(*, pods: EventHandler, mirrors: EventHandler) -> EventHandler:
    """An informer's handler that gives mirrors of static Pods to the one and all others to the other."""

    def handle(old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and is_mirror_pod(old) != is_mirror_pod(new):
            # Two Pods of one name, the first of which went unnoticed.
            handle(old, None)
            handle(None, new)
            return
        one = new or old
        if one is not None:
            (mirrors if is_mirror_pod(one) else pods)(old, new)

    return handle
