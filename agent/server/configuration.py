"""`/configz`: the agent's flags by the names of the kubelet's configuration (kubelet.config.k8s.io/v1beta1)."""

from __future__ import annotations

from agent.config import AgentConfig
from agent.node.heartbeat import INTERVALS_PER_DURATION
from control.api.objects import Object


def kubelet_configuration(config: AgentConfig) -> Object:
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
        "containerRuntimeEndpoint": "unix:///var/run/docker.sock",
    }


def _seconds(seconds: float) -> str:
    return f"{seconds:g}s"
