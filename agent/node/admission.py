"""May a Pod that was bound to this node run here? What the scheduler asks, and what only the node itself knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.node.eviction.admission import judge_under_pressure
from agent.node.security_admission import SecurityPolicy
from agent.pods.rejection import Rejection
from agent.pods.resize import PendingResize, judge_resize
from control.api.fit import AdmissionFailure, node_admission_failure
from control.api.objects import ReadOnlyObject
from control.api.pods import is_terminal


class NodeAdmission:
    """Judges new Pods against the node and the Pods it already has: one that is ending holds what it has to its end."""

    def __init__(
        self,
        node: Callable[[], ReadOnlyObject | None],
        pods: Callable[[], Iterable[ReadOnlyObject]],
        security: SecurityPolicy,
        pressures: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        """`pressures` are the conditions of pressure that hold now, which the Node may not show yet."""
        self._node = node
        self._pods = pods
        self._security = security
        self._pressures = pressures

    def judge_resize(self, pod: ReadOnlyObject) -> PendingResize | None:
        """Why a running Pod keeps the resources it has, or None when the node has room for those it wants."""
        node = self._node()
        return None if node is None else judge_resize(pod, node, self._others(pod))

    def admit(self, pod: ReadOnlyObject) -> Rejection | None:
        """Why the Pod fails, or None. The order is the kubelet's."""
        security = self._security
        for judge in (
            self._judge_pressure,
            security.judge_sysctls,
            self._judge_fit,
            security.judge_groups,
            security.judge_app_armor,
        ):
            failure = judge(pod)
            if failure is not None:
                return Rejection(reason=failure.reason, message=failure.message)
        return None

    def _judge_fit(self, pod: ReadOnlyObject) -> AdmissionFailure | None:
        node = self._node()
        return None if node is None else node_admission_failure(pod, node, self._others(pod))

    def _judge_pressure(self, pod: ReadOnlyObject) -> AdmissionFailure | None:
        return judge_under_pressure(pod, self._pressures())

    def _others(self, pod: ReadOnlyObject) -> list[ReadOnlyObject]:
        uid = pod["metadata"]["uid"]
        return [other for other in self._pods() if other["metadata"]["uid"] != uid and not is_terminal(other)]
