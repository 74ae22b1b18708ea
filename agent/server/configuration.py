"""`/configz`: the agent's flags by the names of the kubelet's configuration (kubelet.config.k8s.io/v1beta1)."""

from __future__ import annotations

from collections.abc import Sequence

from agent.config import AgentConfig
from agent.node.eviction.signals import Signal
from agent.node.eviction.thresholds import NOTHING, Threshold
from agent.node.heartbeat import INTERVALS_PER_DURATION
from agent.node.node_status import format_resources
from control.api.objects import Object


def kubelet_configuration(config: AgentConfig, *, engine_address: str) -> Object:
    """What the agent was told; fields that it has no flag for are left out."""
    return {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": config.bind_address,
        "port": config.port,
        "podCIDR": config.pod_cidr,
        "maxPods": config.pods_max,
        "clusterDomain": config.cluster_domain,
        "clusterDNS": list(config.cluster_dns),
        "nodeStatusReportFrequency": _seconds(config.timings.status_seconds),
        "nodeLeaseDurationSeconds": round(config.timings.lease_seconds * INTERVALS_PER_DURATION),
        "crashLoopBackOff": {"maxContainerRestartPeriod": _seconds(config.container_restart_seconds_max)},
        "kubeReserved": format_resources(config.reservations.kube),
        "systemReserved": format_resources(config.reservations.system),
        "seccompDefault": config.seccomp_default,
        "evictionPressureTransitionPeriod": _seconds(config.eviction.transition_seconds),
        "evictionMaxPodGracePeriod": config.eviction.max_pod_grace_seconds,
        **_thresholds(config.eviction.thresholds),
        "imagePullCredentialsVerificationPolicy": config.images.verification.policy.value,
        "containerRuntimeEndpoint": engine_address,
    }


def _thresholds(thresholds: Sequence[Threshold]) -> Object:
    """By their kinds. What the agent makes of them for the Pods' share is no flag."""
    thresholds = [item for item in thresholds if item.signal is not Signal.ALLOCATABLE_MEMORY_AVAILABLE]
    hard = [item for item in thresholds if item.is_hard]
    soft = [item for item in thresholds if not item.is_hard]
    return {
        "evictionHard": {item.signal.value: str(item.value) for item in hard},
        "evictionSoft": {item.signal.value: str(item.value) for item in soft},
        "evictionSoftGracePeriod": {item.signal.value: _seconds(item.grace_seconds) for item in soft},
        "evictionMinimumReclaim": {
            item.signal.value: str(item.minimum_reclaim) for item in thresholds if item.minimum_reclaim != NOTHING
        },
    }


def _seconds(seconds: float) -> str:
    return f"{seconds:g}s"
