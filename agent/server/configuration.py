"""`/configz`: the agent's flags, and what it does without any, by the names of the kubelet's configuration.

kubelet.config.k8s.io/v1beta1, v1.36. Fields that mean nothing to the agent are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.config import AgentConfig
from agent.images.settings import ImageSettings
from agent.node.eviction.signals import Signal
from agent.node.eviction.thresholds import NOTHING, Threshold
from agent.node.heartbeat import INTERVALS_PER_DURATION
from agent.node.node_status import format_resources
from agent.runtime.translate import LOG_FILES_MAX, LOG_SIZE_MAX
from agent.server.access_reviews import ALLOWED_SECONDS, DENIED_SECONDS, TOKEN_SECONDS
from control.api.durations import format_duration
from control.api.objects import Object

#: who may use the node API, and which pages it has
SERVING: Object = {
    "authentication": {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True, "cacheTTL": format_duration(TOKEN_SECONDS)},
    },
    "authorization": {
        "mode": "Webhook",
        "webhook": {
            "cacheAuthorizedTTL": format_duration(ALLOWED_SECONDS),
            "cacheUnauthorizedTTL": format_duration(DENIED_SECONDS),
        },
    },
    "enableServer": True,
    "enableDebuggingHandlers": True,
    "enableSystemLogHandler": True,
    "enableProfilingHandler": False,
    "enableDebugFlagsHandler": False,
}


def kubelet_configuration(config: AgentConfig, *, engine_address: str) -> Object:
    """What the agent was told and does."""
    return {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": config.bind_address,
        "port": config.port,
        "podCIDR": config.pod_cidr,
        "maxPods": config.pods_max,
        "clusterDomain": config.cluster_domain,
        "clusterDNS": list(config.cluster_dns),
        "nodeStatusReportFrequency": format_duration(config.timings.status_seconds),
        "nodeLeaseDurationSeconds": round(config.timings.lease_seconds * INTERVALS_PER_DURATION),
        "crashLoopBackOff": {"maxContainerRestartPeriod": format_duration(config.container_restart_seconds_max)},
        "kubeReserved": format_resources(config.reservations.kube),
        "systemReserved": format_resources(config.reservations.system),
        "seccompDefault": config.seccomp_default,
        "evictionPressureTransitionPeriod": format_duration(config.eviction.transition_seconds),
        "evictionMaxPodGracePeriod": config.eviction.max_pod_grace_seconds,
        **_thresholds(config.eviction.thresholds),
        **_images(config.images),
        **_pods(config),
        **SERVING,
        "imagePullCredentialsVerificationPolicy": config.images.verification.policy.value,
        "containerRuntimeEndpoint": engine_address,
    }


def _images(settings: ImageSettings) -> Object:
    """Pulls and garbage. As many pulls at once as there are is upstream's nil."""
    garbage, parallel = settings.garbage, settings.pulls.parallel_max
    return {
        "serializeImagePulls": parallel == 1,
        **({"maxParallelImagePulls": parallel} if parallel else {}),
        "imageMinimumGCAge": format_duration(garbage.minimum_age_seconds),
        "imageMaximumGCAge": format_duration(garbage.maximum_age_seconds),
        "imageGCHighThresholdPercent": garbage.high_percent,
        "imageGCLowThresholdPercent": garbage.low_percent,
        "nodeStatusMaxImages": settings.reported_max,
    }


def _pods(config: AgentConfig) -> Object:
    """What bounds Pods and their logs."""
    return {
        **({"staticPodPath": str(config.pod_manifest_path)} if config.pod_manifest_path is not None else {}),
        "podPidsLimit": config.pod_pids_max or -1,
        "allowedUnsafeSysctls": list(config.allowed_unsafe_sysctls),
        "containerLogMaxSize": LOG_SIZE_MAX.replace("m", "Mi"),
        "containerLogMaxFiles": int(LOG_FILES_MAX),
        # No swap for any Pod, on hosts that have some too.
        "failSwapOn": False,
        "memorySwap": {},
        "cpuManagerPolicy": "None",
        "memoryManagerPolicy": "None",
        "topologyManagerPolicy": "none",
    }


def _thresholds(thresholds: Sequence[Threshold]) -> Object:
    """By their kinds. What the agent makes of them for the Pods' share is no flag."""
    thresholds = [item for item in thresholds if item.signal is not Signal.ALLOCATABLE_MEMORY_AVAILABLE]
    hard = [item for item in thresholds if item.is_hard]
    soft = [item for item in thresholds if not item.is_hard]
    return {
        "evictionHard": {item.signal.value: str(item.value) for item in hard},
        "evictionSoft": {item.signal.value: str(item.value) for item in soft},
        "evictionSoftGracePeriod": {item.signal.value: format_duration(item.grace_seconds) for item in soft},
        "evictionMinimumReclaim": {
            item.signal.value: str(item.minimum_reclaim) for item in thresholds if item.minimum_reclaim != NOTHING
        },
    }
