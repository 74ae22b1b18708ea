"""The condition DisruptionTarget, by which controllers say that they are about to end a Pod, or no longer are."""

from __future__ import annotations

from datetime import datetime

from control.api.builtin_kinds import PODS
from control.api.meta import name_of, namespace_of, uid_of
from control.api.objects import Object, ReadOnlyObject
from control.api.timestamps import format_time
from control.client.client import PatchType
from control.client.writes import Patch

DISRUPTION_TARGET = "DisruptionTarget"


def mark_disrupted(
    pod: ReadOnlyObject, now: datetime, *, reason: str, message: str, cause: str, **status: str
) -> Patch:
    """Say why this very Pod is about to end; `status` is what else its status says from then on."""
    condition = {"status": "True", "reason": reason, "message": message}
    return _patch(pod, now, condition, cause=cause, status=status)


def mark_spared(pod: ReadOnlyObject, now: datetime, *, cause: str) -> Patch:
    """Take it back."""
    return _patch(pod, now, {"status": "False"}, cause=cause, status={})


def _patch(pod: ReadOnlyObject, now: datetime, told: Object, *, cause: str, status: Object) -> Patch:
    condition = {
        "type": DISRUPTION_TARGET,
        "observedGeneration": pod["metadata"].get("generation", 0),
        "lastTransitionTime": format_time(now),
        **told,
    }
    return Patch(
        kind=PODS,
        namespace=namespace_of(pod),
        name=name_of(pod),
        type=PatchType.STRATEGIC,
        subresource="status",
        patch={"metadata": {"uid": uid_of(pod)}, "status": {**status, "conditions": [condition]}},
        cause=cause,
        ignore_missing=True,
    )
