"""Preemption: which Pods of lower priority must leave, and where, so that a Pod finds a place. Pure.

The rules are upstream's default preemption: on each node as few and as unimportant victims as possible, then the node
whose loss is the smallest. Disruption budgets are kept where there is a choice, and broken where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from control.api.meta import find_condition, is_deleting
from control.api.objects import ReadOnlyObject
from control.api.pods import conditions_of
from control.scheduler.disruption_budgets import DisruptionBudget, kept_by_budgets, prepare_budgets
from control.scheduler.framework import Code, Profile, Status
from control.scheduler.placement import Diagnosis, format_counts, passing_nodes
from control.scheduler.prepared import PreparedNode, PreparedPod
from control.scheduler.snapshot import Snapshot

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
POLICY_NEVER = "not eligible due to preemptionPolicy=Never."
VICTIM_TERMINATING = "not eligible due to a terminating pod on the nominated node."
#: nodes that are tried: a tenth of all, at least so many
_CANDIDATES_MIN = 100


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node and the Pods that must leave it, the most important first."""

    node_name: str
    victims: tuple[PreparedPod, ...]
    #: how many of them leave against a disruption budget
    violations: int = 0


@dataclass(frozen=True, slots=True)
class Preemption:
    """The chosen candidate, or why there is none (the part of the message after `preemption: `)."""

    candidate: Candidate | None = None
    message: str = ""


def plan_preemption(
    profile: Profile,
    pod: PreparedPod,
    snapshot: Snapshot,
    diagnosis: Diagnosis,
    budgets: Iterable[ReadOnlyObject] = (),
) -> Preemption:
    """Choose whom to evict for a Pod that found no node. `budgets` are the cluster's PodDisruptionBudgets."""
    if diagnosis.refusal is not None:
        return Preemption()
    if pod.spec.get("preemptionPolicy") == "Never":
        return Preemption(message=POLICY_NEVER)
    if _waits_for_victims(pod, snapshot):
        return Preemption(message=VICTIM_TERMINATING)
    candidates: list[Candidate] = []
    reasons: list[str] = []
    prepared_budgets = prepare_budgets(budgets)
    wanted = max(diagnosis.node_count // 10, _CANDIDATES_MIN)
    for node in snapshot.all():
        status = diagnosis.rejected.get(node.name)
        if status is None or status.code is Code.UNRESOLVABLE:
            reasons.append(NOT_HELPFUL)
        elif len(candidates) < wanted or all(candidate.violations for candidate in candidates):
            outcome = select_victims(profile, pod, node, snapshot, prepared_budgets)
            if isinstance(outcome, Candidate):
                candidates.append(outcome)
            else:
                reasons.extend(outcome)
    if candidates:
        return Preemption(choose_candidate(candidates))
    return Preemption(message=format_counts(diagnosis.node_count, reasons))


def _waits_for_victims(pod: PreparedPod, snapshot: Snapshot) -> bool:
    """Whether Pods already evicted for this one are still leaving its nominated node."""
    nominated = (pod.pod.get("status") or {}).get("nominatedNodeName")
    node = snapshot.find(nominated) if nominated else None
    if node is None:
        return False
    return any(
        other.priority < pod.priority and is_deleting(other.pod) and _is_preempted(other)
        for other in node.pods.values()
    )


def _is_preempted(pod: PreparedPod) -> bool:
    condition = find_condition(conditions_of(pod.pod), "DisruptionTarget")
    return condition is not None and condition.get("reason") == "PreemptionByScheduler"


def select_victims(
    profile: Profile,
    pod: PreparedPod,
    node: PreparedNode,
    snapshot: Snapshot,
    budgets: Sequence[DisruptionBudget] = (),
) -> Candidate | tuple[str, ...]:
    """Return the fewest victims that make room on a node, or the reasons why there are none.

    Those that a budget keeps get their places back first.
    """
    lower = [other for other in node.pods.values() if other.priority < pod.priority]
    if not lower:
        return (NO_VICTIMS,)
    trial = node.copy()
    for other in lower:
        trial.remove(other.uid)
    rejected: dict[str, Status] = {}
    if not passing_nodes(profile, pod, [trial], snapshot, rejected, are_trials=True):
        return rejected[node.name].reasons
    kept = kept_by_budgets(sorted(lower, key=_importance), budgets)
    victims = []
    for other in sorted(lower, key=lambda other: (other.uid not in kept, *_importance(other))):
        trial.add(other)
        if not passing_nodes(profile, pod, [trial], snapshot, {}, are_trials=True):
            trial.remove(other.uid)
            victims.append(other)
    violations = sum(victim.uid in kept for victim in victims)
    return Candidate(node.name, tuple(sorted(victims, key=_importance)), violations)


def _importance(pod: PreparedPod) -> tuple[int, str]:
    """Sort key: the higher priority first, then the one that started earlier."""
    return (-pod.priority, _start_of(pod))


def _start_of(pod: PreparedPod) -> str:
    status: Mapping[str, str] = pod.pod.get("status") or {}
    return status.get("startTime") or pod.pod["metadata"].get("creationTimestamp") or ""


def choose_candidate(candidates: Sequence[Candidate]) -> Candidate:
    """The least loss: fewest broken budgets, lowest top priority, lowest sum, fewest, latest start of the top."""
    best = min(candidates, key=_loss)
    equal = [candidate for candidate in candidates if _loss(candidate) == _loss(best)]
    return max(equal, key=lambda candidate: _earliest_start_of_top(candidate.victims))


def _loss(candidate: Candidate) -> tuple[int, int, int, int]:
    priorities = [victim.priority for victim in candidate.victims]
    # Upstream shifts priorities so that many negative ones still add up to more than few.
    return (
        candidate.violations,
        max(priorities, default=-(2**31)),
        sum(priority + 2**31 for priority in priorities),
        len(priorities),
    )


def _earliest_start_of_top(victims: Sequence[PreparedPod]) -> str:
    highest = max((victim.priority for victim in victims), default=0)
    return min((_start_of(victim) for victim in victims if victim.priority == highest), default="")
