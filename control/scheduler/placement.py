"""The decision itself: filter the nodes, score the rest, choose one; or say why none will do. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from control.scheduler.framework import Cluster, Code, Profile, Rejections, Status
from control.scheduler.prepared import PreparedNode, PreparedPod
from control.scheduler.snapshot import Overlay, Snapshot

NO_NODES_MESSAGE = "no nodes available to schedule pods"
#: what the plugin for device claims always adds when it has nothing to offer
_NO_CLAIMS = "no new claims to deallocate"
_FEASIBLE_MIN = 100


class Chooser(Protocol):
    """The part of random.Random that breaking ties needs."""

    def randrange(self, stop: int, /) -> int:
        """Return a number below `stop`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Why a Pod found no node. `refusal` is a plugin's no to the Pod as such, `rejected` what each node lacked."""

    node_count: int
    rejected: Rejections = field(default_factory=dict)
    refusal: Status | None = None

    @property
    def plugins(self) -> frozenset[str]:
        """The plugins that refused: what they wait for brings the Pod back."""
        names = {status.plugin for status in self.rejected.values()}
        if self.refusal is not None:
            names.add(self.refusal.plugin)
        return frozenset(names)


@dataclass(frozen=True, slots=True)
class Filtered:
    """Nodes that will do, and how many nodes were looked at to find them."""

    feasible: Sequence[PreparedNode]
    examined: int
    diagnosis: Diagnosis


def feasible_count_wanted(node_count: int) -> int:
    """How many feasible nodes are enough to score: a twentieth of all, at least 100.

    This is the floor of upstream's percentageOfNodesToScore: which hundred of a thousand equal nodes are compared does
    not show, the time it takes does. The search starts where the last one ended, so all nodes get their turn.
    """
    return min(node_count, max(node_count // 20, _FEASIBLE_MIN))


def filter_nodes(profile: Profile, pod: PreparedPod, snapshot: Snapshot, *, start: int = 0) -> Filtered:
    """Look at nodes from position `start` on, around the circle, until enough will do."""
    nodes = snapshot.all()
    count = len(nodes)
    rejected: Rejections = {}
    for plugin in profile.pre_filter:
        result = plugin.pre_filter(pod, snapshot)
        if result is None:
            continue
        if result.status is not None:
            return Filtered((), 0, Diagnosis(node_count=count, refusal=result.status))
        if result.node_names is not None:
            refusal = Status(Code.UNRESOLVABLE, (f"node(s) didn't satisfy plugin(s) [{plugin.name}]",), plugin.name)
            rejected.update({node.name: refusal for node in nodes if node.name not in result.node_names})
            nodes = [node for node in (snapshot.find(name) for name in sorted(result.node_names)) if node is not None]
            start = 0
    nominated = snapshot.find((pod.pod.get("status") or {}).get("nominatedNodeName") or "")
    if nominated is not None and nominated.name not in rejected:
        passing = passing_nodes(profile, pod, (nominated,), snapshot, {})
        if passing:
            return Filtered(passing, 0, Diagnosis(node_count=count))
    wanted = feasible_count_wanted(len(nodes))
    ordered = [*nodes[start:], *nodes[:start]] if start else nodes
    feasible: list[PreparedNode] = []
    examined = 0
    while examined < len(ordered) and len(feasible) < wanted:
        chunk = ordered[examined : examined + wanted]
        examined += len(chunk)
        feasible.extend(passing_nodes(profile, pod, chunk, snapshot, rejected))
    return Filtered(feasible[:wanted], examined, Diagnosis(node_count=count, rejected=rejected))


def passing_nodes(
    profile: Profile,
    pod: PreparedPod,
    nodes: Sequence[PreparedNode],
    snapshot: Snapshot,
    rejected: Rejections,
    *,
    are_trials: bool = False,
) -> Sequence[PreparedNode]:
    """Nodes that pass every filter, counting what is kept for nominated Pods of at least the same priority.

    Trials are copies that stand in for the snapshot's own nodes in what the plugins see of the cluster.
    """
    nominated = snapshot.nominated_for(pod)
    views = [_with_pods(node, nominated[node.name]) if node.name in nominated else node for node in nodes]
    cluster = Overlay(snapshot, {view.name: view for view in views}) if nominated or are_trials else snapshot
    passing: Sequence[PreparedNode] = views
    for plugin in profile.filter:
        if not passing:
            break
        passing = plugin.filter(pod, passing, cluster, rejected)
    if not nominated:
        return passing
    originals = {node.name: node for node in nodes}
    return [originals[node.name] for node in passing]


def _with_pods(node: PreparedNode, pods: Sequence[PreparedPod]) -> PreparedNode:
    twin = node.copy()
    for pod in pods:
        twin.add(pod)
    return twin


def score_nodes(profile: Profile, pod: PreparedPod, nodes: Sequence[PreparedNode], cluster: Cluster) -> list[int]:
    """Weighted sum of the score plugins for each node."""
    totals = [0] * len(nodes)
    for plugin in profile.score:
        scores = plugin.score(pod, nodes, cluster)
        if scores is not None:
            weight = plugin.weight
            totals = [total + weight * score for total, score in zip(totals, scores, strict=True)]
    return totals


def choose_node(nodes: Sequence[PreparedNode], scores: Sequence[int], random: Chooser) -> PreparedNode:
    """Return a node with the highest score; the injected randomness chooses among equals."""
    highest = max(scores)
    best = [node for node, score in zip(nodes, scores, strict=True) if score == highest]
    return best[0] if len(best) == 1 else best[random.randrange(len(best))]


def format_diagnosis(diagnosis: Diagnosis, preemption: str = "") -> str:
    """Upstream's sentence: `0/3 nodes are available: 1 Insufficient cpu, ... . preemption: ...`."""
    if diagnosis.node_count == 0:
        return NO_NODES_MESSAGE
    text = f"0/{diagnosis.node_count} nodes are available:"
    if diagnosis.refusal is not None:
        # The plugin for device claims then misses what it would have noted; its complaint ends the sentence.
        return f"{text} {', '.join(diagnosis.refusal.reasons)}. not found"
    text += _histogram(status.reasons for status in diagnosis.rejected.values())
    return f"{text} {_NO_CLAIMS}, preemption: {preemption}" if preemption else text


def format_counts(node_count: int, reasons: Sequence[str]) -> str:
    """`0/3 nodes are available: 1 a, 2 b.` for one reason per node."""
    return f"0/{node_count} nodes are available:" + _histogram((reason,) for reason in reasons)


def _histogram(reasons_per_node: Iterable[Iterable[str]]) -> str:
    counts: Counter[str] = Counter()
    for reasons in reasons_per_node:
        counts.update(reasons)
    lines = sorted(f"{count} {reason}" for reason, count in counts.items())
    return f" {', '.join(lines)}." if lines else ""
