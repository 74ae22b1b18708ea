"""May a Pod that was bound to this node run here? What the scheduler asks, and what only the node itself knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from agent.node.eviction.admission import judge_under_pressure
from agent.node.preemption import choose_victims, failure_message
from agent.node.security_admission import SecurityPolicy
from agent.pods.rejection import Rejection
from agent.pods.resize import PendingResize, as_allocated, choose_ahead, judge_resize
from control.api.fit import AdmissionFailure, lacking_resources, node_admission_failure
from control.api.objects import ReadOnlyObject
from control.api.pods import is_critical, is_terminal


class NodeAdmission:
    """Judges new Pods against the node and the Pods it already has: one that is ending holds what it has to its end."""

    def __init__(
        self,
        node: Callable[[], ReadOnlyObject | None],
        pods: Callable[[], Iterable[ReadOnlyObject]],
        security: SecurityPolicy,
        *,
        pressures: Callable[[], frozenset[str]],
        preempt: Callable[[Sequence[ReadOnlyObject]], Awaitable[None]],
        judge_shutdown: Callable[[ReadOnlyObject], AdmissionFailure | None],
    ) -> None:
        """`pressures` are the conditions of pressure that hold now, which the Node may not show yet.

        `preempt` lets Pods fail and returns when they have ended.
        """
        self._node = node
        self._pods = pods
        self._security = security
        self._pressures = pressures
        self._preempt = preempt
        self._judge_shutdown = judge_shutdown
        self._waiting: list[str] = []  # by UID, the longest first

    def judge_resize(self, pod: ReadOnlyObject) -> PendingResize | None:
        """Why a running Pod keeps the resources it has, or None when the node has room for those it wants."""
        node, uid = self._node(), pod["metadata"]["uid"]
        if node is None:
            return None
        present = {item["metadata"]["uid"]: item for item in self._pods()}
        self._waiting = [item for item in self._waiting if item in present or item == uid]
        place = self._waiting.index(uid) if uid in self._waiting else len(self._waiting)
        waiting = [present[item] for item in self._waiting if item != uid]
        pending = judge_resize(pod, node, self._others(pod), choose_ahead(pod, waiting, longer=place))
        if pending is None:
            self._waiting = [item for item in self._waiting if item != uid]
        elif uid not in self._waiting:
            self._waiting.append(uid)
        return pending

    async def admit(self, pod: ReadOnlyObject) -> Rejection | None:
        """Why the Pod fails, or None. The order is the kubelet's, but that a node that goes preempts nothing."""
        security = self._security
        failure = self._judge_shutdown(pod) or self._judge_pressure(pod) or security.judge_sysctls(pod)
        failure = failure or security.judge_groups(pod) or await self._judge_fit(pod) or security.judge_app_armor(pod)
        return Rejection(reason=failure.reason, message=failure.message) if failure is not None else None

    async def _judge_fit(self, pod: ReadOnlyObject) -> AdmissionFailure | None:
        """A critical Pod gets its room at the expense of others, if there is nothing else against it."""
        node = self._node()
        if node is None:
            return None
        others = self._others(pod)
        failure = node_admission_failure(pod, node, others)
        lacking = lacking_resources(pod, node, others) if failure is not None and is_critical(pod) else []
        if not lacking:
            return failure
        victims = choose_victims(pod, others, lacking)
        if victims is None:
            return AdmissionFailure("UnexpectedAdmissionError", failure_message(lacking))
        rest = [other for other in others if other not in victims]
        if (failure := node_admission_failure(pod, node, rest)) is None:
            await self._preempt(victims)
        return failure

    def _judge_pressure(self, pod: ReadOnlyObject) -> AdmissionFailure | None:
        return judge_under_pressure(pod, self._pressures())

    def _others(self, pod: ReadOnlyObject) -> list[ReadOnlyObject]:
        """What else holds resources of the node: a Pod that waits for others than it has holds those it has."""
        uid = pod["metadata"]["uid"]
        others = [other for other in self._pods() if other["metadata"]["uid"] != uid and not is_terminal(other)]
        return [as_allocated(other) if other["metadata"]["uid"] in self._waiting else other for other in others]
