"""Whom PodDisruptionBudgets keep from preemption. Pure.

The scheduler asks them as upstream's default preemption does, which differs from the eviction subresource: an empty
selector keeps nobody, and a Pod without labels is kept by none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from control.api.meta import labels_of
from control.api.objects import ReadOnlyObject
from control.api.selectors import LabelSelector, SelectorError, selector_from_object
from control.scheduler.prepared import PreparedPod


@dataclass(frozen=True, slots=True)
class DisruptionBudget:
    """What the scheduler looks at of a PodDisruptionBudget."""

    namespace: str
    selector: LabelSelector
    disruptions_allowed: int
    #: names of Pods whose eviction is counted already
    disrupted: Collection[str]

    def counts(self, pod: PreparedPod) -> bool:
        """Whether the loss of this Pod would be one more disruption."""
        labels = labels_of(pod.pod)
        if pod.namespace != self.namespace or not labels or pod.pod["metadata"]["name"] in self.disrupted:
            return False
        return self.selector.matches(labels)


def prepare_budgets(budgets: Iterable[ReadOnlyObject]) -> list[DisruptionBudget]:
    """Those that keep anybody."""
    prepared = []
    for budget in budgets:
        try:
            selector = selector_from_object(budget["spec"].get("selector"))
        except SelectorError:
            continue
        if selector.is_empty:
            continue
        status = budget.get("status") or {}
        namespace = budget["metadata"]["namespace"]
        allowed, disrupted = status.get("disruptionsAllowed", 0), status.get("disruptedPods") or {}
        prepared.append(DisruptionBudget(namespace, selector, allowed, disrupted))
    return prepared


def kept_by_budgets(pods: Iterable[PreparedPod], budgets: Sequence[DisruptionBudget]) -> set[str]:
    """UIDs of the Pods whose loss would break a budget, if those before them in this order were lost too."""
    allowed = [budget.disruptions_allowed for budget in budgets]
    kept: set[str] = set()
    for pod in pods:
        for index, budget in enumerate(budgets):
            if not budget.counts(pod):
                continue
            allowed[index] -= 1
            if allowed[index] < 0:
                kept.add(pod.uid)
    return kept
