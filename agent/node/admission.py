"""Does a Pod that was bound to this node fit it? What the scheduler asks, asked again by the node itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.pods.resize import PendingResize, judge_resize
from agent.pods.worker import Rejection
from control.api.fit import node_admission_failure
from control.api.objects import ReadOnlyObject
from control.api.pods import is_terminal


class NodeAdmission:
    """Judges new Pods against the node and the Pods it already has: one that is ending holds what it has to its end."""

    def __init__(self, node: Callable[[], ReadOnlyObject | None], pods: Callable[[], Iterable[ReadOnlyObject]]) -> None:
        self._node = node
        self._pods = pods

    def judge_resize(self, pod: ReadOnlyObject) -> PendingResize | None:
        """Why a running Pod keeps the resources it has, or None when the node has room for those it wants."""
        node = self._node()
        return None if node is None else judge_resize(pod, node, self._others(pod))

    def admit(self, pod: ReadOnlyObject) -> Rejection | None:
        """Why the Pod fails, or None."""
        node = self._node()
        if node is None:
            return None
        failure = node_admission_failure(pod, node, self._others(pod))
        return None if failure is None else Rejection(reason=failure.reason, message=failure.message)

    def _others(self, pod: ReadOnlyObject) -> list[ReadOnlyObject]:
        uid = pod["metadata"]["uid"]
        return [other for other in self._pods() if other["metadata"]["uid"] != uid and not is_terminal(other)]
