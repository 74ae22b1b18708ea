"""Does a Pod that was bound to this node fit it? What the scheduler asks, asked again by the node itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.pods.worker import Rejection
from control.api.fit import node_admission_failure
from control.api.objects import ReadOnlyObject
from control.api.pods import is_terminal


class NodeAdmission:
    """Judges new Pods against the node and the Pods it already has: one that is ending holds what it has to its end."""

    def __init__(self, node: Callable[[], ReadOnlyObject | None], pods: Callable[[], Iterable[ReadOnlyObject]]) -> None:
        self._node = node
        self._pods = pods

    def admit(self, pod: ReadOnlyObject) -> Rejection | None:
        """Why the Pod fails, or None."""
        node = self._node()
        if node is None:
            return None
        uid = pod["metadata"]["uid"]
        others = [other for other in self._pods() if other["metadata"]["uid"] != uid and not is_terminal(other)]
        failure = node_admission_failure(pod, node, others)
        return None if failure is None else Rejection(reason=failure.reason, message=failure.message)
