"""`/metrics/resource`: processor time and memory of containers, Pods and node, as metrics-server reads them. Pure.

Names and labels are the kubelet's (pkg/kubelet/metrics/collectors/resource_metrics.go, v1.36).
"""

from __future__ import annotations

from agent.usage.prometheus import MetricFamily
from agent.usage.samples import NodeSample, PodSample

NANOSECONDS = 1e9


def resource_metrics(sample: NodeSample) -> list[MetricFamily]:
    """All families, in the order of their names."""
    container_cpu = MetricFamily(
        "container_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
    )
    container_memory = MetricFamily(
        "container_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the container in bytes"
    )
    start_time = MetricFamily(
        "container_start_time_seconds", "gauge", "[STABLE] Start time of the container since unix epoch in seconds"
    )
    pod_cpu = MetricFamily(
        "pod_cpu_usage_seconds_total", "counter", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds"
    )
    pod_memory = MetricFamily(
        "pod_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the pod in bytes"
    )
    for pod in sample.pods:
        names = _names(pod)
        for container in pod.containers:
            labels, usage = {"container": container.name, **names}, container.usage
            container_cpu.add(usage.cpu_nanoseconds / NANOSECONDS, labels, usage.sampled_at)
            container_memory.add(usage.memory_working_set_bytes, labels, usage.sampled_at)
            if container.started_at is not None:
                start_time.add(container.started_at.timestamp(), labels)
        if pod.containers:
            usages = [container.usage for container in pod.containers]
            pod_cpu.add(sum(usage.cpu_nanoseconds for usage in usages) / NANOSECONDS, names, sample.time)
            pod_memory.add(sum(usage.memory_working_set_bytes for usage in usages), names, sample.time)
    return [
        container_cpu,
        container_memory,
        start_time,
        *_node_metrics(sample),
        pod_cpu,
        pod_memory,
        _errors(sample),
    ]


def _node_metrics(sample: NodeSample) -> tuple[MetricFamily, MetricFamily]:
    cpu = MetricFamily(
        "node_cpu_usage_seconds_total", "counter", "[STABLE] Cumulative cpu time consumed by the node in core-seconds"
    )
    memory = MetricFamily("node_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the node in bytes")
    cpu.add(sample.host.cpu_nanoseconds / NANOSECONDS, time=sample.time)
    memory.add(sample.host.memory.working_set_bytes, time=sample.time)
    return cpu, memory


def _errors(sample: NodeSample) -> MetricFamily:
    errors = MetricFamily(
        "resource_scrape_error",
        "gauge",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    )
    errors.add(1 if sample.failures else 0)
    return errors


def _names(pod: PodSample) -> dict[str, str]:
    metadata = pod.pod["metadata"]
    return {"namespace": metadata["namespace"], "pod": metadata["name"]}
