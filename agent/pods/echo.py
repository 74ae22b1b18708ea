"""Is a changed Pod more than the echo of what this agent reported itself? Pure."""

from __future__ import annotations

from typing import Any

from agent.pods.pod_conditions import is_own_condition
from control.api.objects import ReadOnlyObject


def is_echo(old: ReadOnlyObject, new: ReadOnlyObject) -> bool:
    """True when nothing changed but what this agent itself reports."""
    return _without_own(old) == _without_own(new)


def _without_own(pod: ReadOnlyObject) -> dict[str, Any]:
    metadata = {key: value for key, value in pod["metadata"].items() if key not in ("resourceVersion", "managedFields")}
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return {
        "spec": pod["spec"],
        "metadata": metadata,
        "conditions": [item for item in conditions if not is_own_condition(item)],
    }
