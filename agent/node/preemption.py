"""Which Pods a critical Pod that a node must run takes the place of. Pure.

As few and as unimportant as possible: guaranteed Pods only for what all others cannot give, burstable ones only for
what best-effort ones cannot (getPodsToPreempt in pkg/kubelet/preemption/preemption.go, v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from control.api.fit import InsufficientResource
from control.api.objects import ReadOnlyObject
from control.api.pods import is_critical, pod_requests, priority_of, qos_class

#: what Events, status and condition of a Pod say that made room
REASON = "Preempting"
MESSAGE = "Preempted in order to admit critical pod"
DISRUPTION_MESSAGE = "Pod was preempted by Kubelet to accommodate a critical pod."

Amounts = dict[str, int]


def choose_victims(
    preemptor: ReadOnlyObject, pods: Iterable[ReadOnlyObject], lacking: Sequence[InsufficientResource]
) -> list[ReadOnlyObject] | None:
    """The Pods that must go so that the preemptor fits, or None where not even all of them would do."""
    groups: dict[str, list[ReadOnlyObject]] = {"Guaranteed": [], "Burstable": [], "BestEffort": []}
    for pod in pods:
        if _is_preemptable(preemptor, pod):
            groups[qos_class(pod)].append(pod)
    guaranteed, burstable, best_effort = groups.values()
    wanted = {item.resource: item.requested + item.used - item.capacity for item in lacking}
    if _subtract(wanted, [*guaranteed, *burstable, *best_effort]):
        return None
    first = _nearest(guaranteed, _subtract(wanted, [*burstable, *best_effort]))
    second = _nearest(burstable, _subtract(wanted, [*best_effort, *first]))
    third = _nearest(best_effort, _subtract(wanted, [*first, *second]))
    return [*first, *second, *third]


def failure_message(lacking: Sequence[InsufficientResource]) -> str:
    """Why there is no room for a critical Pod, in upstream's words."""
    amounts = "".join(f"(res: {item.resource}, q: {item.requested + item.used - item.capacity}), " for item in lacking)
    return (
        "Unexpected error while attempting to recover from admission failure: preemption: error finding a set of pods "
        f"to preempt: no set of running pods found to reclaim resources: [{amounts}]"
    )


def _is_preemptable(preemptor: ReadOnlyObject, pod: ReadOnlyObject) -> bool:
    if is_critical(preemptor) and not is_critical(pod):
        return True
    has_priorities = all(item["spec"].get("priority") is not None for item in (preemptor, pod))
    return has_priorities and priority_of(preemptor) > priority_of(pod)


def _nearest(pods: Iterable[ReadOnlyObject], wanted: Amounts) -> list[ReadOnlyObject]:
    """Pods of one class that give what is wanted: again and again the one that comes nearest to the rest of it."""
    left, chosen = list(pods), []
    while wanted:
        best = min(left, key=lambda pod: (_distance(pod, wanted), *_size(pod)))
        left.remove(best)
        chosen.append(best)
        wanted = _subtract(wanted, [best])
    return chosen


def _size(pod: ReadOnlyObject) -> tuple[int, int]:
    """Of two that come equally near the smaller goes."""
    requests = pod_requests(pod)
    return requests.get("memory", 0), requests.get("cpu", 0)


def _distance(pod: ReadOnlyObject, wanted: Mapping[str, int]) -> float:
    held = _held(pod, wanted)
    return sum(max(0.0, (amount - held[name]) / amount) ** 2 for name, amount in wanted.items())


def _subtract(wanted: Mapping[str, int], pods: Iterable[ReadOnlyObject]) -> Amounts:
    """What is still wanted when these Pods are gone."""
    left = dict(wanted)
    for pod in pods:
        for name, amount in _held(pod, wanted).items():
            left[name] -= amount
    return {name: amount for name, amount in left.items() if amount > 0}


def _held(pod: ReadOnlyObject, names: Iterable[str]) -> Amounts:
    requests = pod_requests(pod)
    return {name: 1 if name == "pods" else requests.get(name, 0) for name in names}
