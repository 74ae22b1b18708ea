"""`/metrics/resource`: processor time and memory of containers, Pods and node, as metrics-server reads them. Pure.

Names and labels are the kubelet's (pkg/kubelet/metrics/collectors/resource_metrics.go, v1.36).
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.usage.prometheus import MetricFamily
from agent.usage.samples import ContainerSample, NodeSample, PodSample

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
    swap = _SwapFamilies()
    for pod in sample.pods:
        names = _names(pod)
        swap.add_pod(pod, names, sample)
        for container in pod.containers:
            labels, usage = {"container": container.name, **names}, container.usage
            container_cpu.add(usage.cpu_nanoseconds / NANOSECONDS, labels, usage.sampled_at)
            container_memory.add(usage.memory_working_set_bytes, labels, usage.sampled_at)
            swap.add_container(container, labels)
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
        swap.container_limit,
        swap.container_usage,
        *_node_metrics(sample),
        pod_cpu,
        pod_memory,
        swap.pod_usage,
        _errors(sample),
    ]


class _SwapFamilies:
    """What containers and Pods have swapped out; of those whose cgroups the agent sees."""

    def __init__(self) -> None:
        self.container_limit = _swap("container_swap_limit_bytes", "amount of the container swap limit")
        self.container_usage = _swap("container_swap_usage_bytes", "amount of the container swap usage")
        self.pod_usage = _swap("pod_swap_usage_bytes", "amount of the pod swap usage")

    def add_container(self, container: ContainerSample, labels: Mapping[str, str]) -> None:
        """A limit only where there is one."""
        if container.cgroup is None:
            return
        time, limit = container.usage.sampled_at, container.cgroup.swap_limit_bytes
        self.container_usage.add(container.cgroup.swap_bytes, labels, time)
        if limit is not None:
            self.container_limit.add(limit, labels, time)

    def add_pod(self, pod: PodSample, names: Mapping[str, str], sample: NodeSample) -> None:
        """All its containers together."""
        swapped = [container.cgroup.swap_bytes for container in pod.containers if container.cgroup is not None]
        if swapped:
            self.pod_usage.add(sum(swapped), names, sample.time)


def _swap(name: str, what: str) -> MetricFamily:
    return MetricFamily(name, "gauge", f"[ALPHA] Current {what} in bytes. Reported only on non-windows systems")


def _node_metrics(sample: NodeSample) -> tuple[MetricFamily, ...]:
    cpu = MetricFamily(
        "node_cpu_usage_seconds_total", "counter", "[STABLE] Cumulative cpu time consumed by the node in core-seconds"
    )
    memory = MetricFamily("node_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the node in bytes")
    cpu.add(sample.host.cpu_nanoseconds / NANOSECONDS, time=sample.time)
    memory.add(sample.host.memory.working_set_bytes, time=sample.time)
    swap = _swap("node_swap_usage_bytes", "swap usage of the node")
    swap.add(sample.host.memory.swap_bytes, time=sample.time)
    return cpu, memory, swap


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
