"""`/metrics`: what the agent says of itself, by the kubelet's names (pkg/kubelet/metrics/metrics.go, v1.36). Pure."""

from __future__ import annotations

from agent.node.node_status import KUBELET_VERSION
from agent.usage.prometheus import MetricFamily
from agent.usage.samples import NodeSample


def own_metrics(sample: NodeSample) -> list[MetricFamily]:
    """All families."""
    running = [pod for pod in sample.pods if pod.containers]
    build = MetricFamily("kubernetes_build_info", "gauge", "[ALPHA] A metric with a constant '1' value")
    build.add(1, {"git_version": KUBELET_VERSION})
    name = MetricFamily("kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.")
    name.add(1, {"node": sample.node_name})
    pods = MetricFamily("kubelet_running_pods", "gauge", "[STABLE] Number of pods that have a running pod sandbox")
    pods.add(len(running))
    containers = MetricFamily("kubelet_running_containers", "gauge", "[STABLE] Number of containers currently running")
    containers.add(sum(len(pod.containers) for pod in running), {"container_state": "running"})
    return [build, name, containers, pods]
