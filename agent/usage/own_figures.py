"""What `/metrics` tells of the agent's Pods and of its work, by the kubelet's names. Pure.

pkg/kubelet/metrics/metrics.go and pkg/kubelet/kubelet_pods.go, v1.36.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agent.pods.container_cache import ContainerCache
from agent.pods.observed import ObservedPod
from agent.pods.pod_phase import TERMINAL_PHASES
from agent.pods.pod_spec import ephemeral_containers
from agent.pods.start_tally import StartTally
from agent.usage.prometheus import MetricFamily, single_sample
from control.api.objects import ReadOnlyObject
from control.api.pods import is_static_pod


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFigures:
    """The Pods that the node is to run, what there is of them, and what was tried."""

    pods: Callable[[], Iterable[ReadOnlyObject]]
    cache: ContainerCache
    starts: StartTally


def figure_metrics(figures: OwnFigures) -> list[MetricFamily]:
    """All families."""
    pods = list(figures.pods())
    observed = [figures.cache.observe(uid, stopping={}, attached=()) for uid in sorted(figures.cache.pod_uids())]
    return [*_of_pods(pods), *_of_the_engine(observed), *_of_starts(figures.starts)]


def _of_pods(pods: list[ReadOnlyObject]) -> Iterator[MetricFamily]:
    active = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in TERMINAL_PHASES]
    for name, text, counted in (
        ("desired_pods", "The number of pods the kubelet is being instructed to run.", pods),
        (
            "active_pods",
            "The number of pods the kubelet considers active and which are being considered when admitting new pods.",
            active,
        ),
    ):
        text += " static is true if the pod is not from the apiserver."
        family = MetricFamily(f"kubelet_{name}", "gauge", f"[ALPHA] {text}")
        static = sum(is_static_pod(pod) for pod in counted)
        family.add(len(counted) - static, {"static": ""})
        family.add(static, {"static": "true"})
        yield family
    yield single_sample(
        "kubelet_mirror_pods",
        "gauge",
        "[ALPHA] The number of mirror pods the kubelet will try to create (one per admitted static pod)",
        sum(is_static_pod(pod) for pod in active),
    )
    yield single_sample(
        "kubelet_managed_ephemeral_containers",
        "gauge",
        "[ALPHA] Current number of ephemeral containers in pods managed by this kubelet.",
        sum(len(ephemeral_containers(pod)) for pod in pods),
    )


def _of_the_engine(observed: list[ObservedPod]) -> Iterator[MetricFamily]:
    sandboxes = sum(pod.sandbox is not None and pod.sandbox.is_running for pod in observed)
    attempts = (attempt for pod in observed for several in pod.containers.values() for attempt in several)
    states = Counter(attempt.record.state.value for attempt in attempts)
    containers = MetricFamily("kubelet_running_containers", "gauge", "[STABLE] Number of containers currently running")
    for state, count in sorted(states.items()):
        containers.add(count, {"container_state": state})
    yield containers
    yield single_sample(
        "kubelet_running_pods", "gauge", "[STABLE] Number of pods that have a running pod sandbox", sandboxes
    )


def _of_starts(starts: StartTally) -> Iterator[MetricFamily]:
    yield single_sample(
        "kubelet_started_pods_total", "counter", "[ALPHA] Cumulative number of pods started", starts.pods
    )
    yield single_sample(
        "kubelet_started_pods_errors_total",
        "counter",
        "[ALPHA] Cumulative number of errors when starting pods",
        starts.pod_failures,
    )
    started = MetricFamily(
        "kubelet_started_containers_total", "counter", "[ALPHA] Cumulative number of containers started"
    )
    for kind, count in sorted(starts.containers.items()):
        started.add(count, {"container_type": kind})
    failed = MetricFamily(
        "kubelet_started_containers_errors_total",
        "counter",
        "[ALPHA] Cumulative number of errors when starting containers",
    )
    for (kind, reason), count in sorted(starts.container_failures.items()):
        failed.add(count, {"container_type": kind, "code": reason})
    yield started
    yield failed
