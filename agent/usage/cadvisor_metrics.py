"""`/metrics/cadvisor`: what dashboards ask cadvisor for, of containers and of the Pods' network. Pure."""

from __future__ import annotations

from agent.usage.prometheus import MetricFamily
from agent.usage.resource_metrics import NANOSECONDS
from agent.usage.samples import ContainerSample, NodeSample, PodSample

_CONTAINER_FAMILIES = (
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds."),
    ("container_memory_rss", "gauge", "Size of RSS in bytes."),
    ("container_memory_usage_bytes", "gauge", "Current memory usage in bytes, including all memory."),
    ("container_memory_working_set_bytes", "gauge", "Current working set in bytes."),
    ("container_processes", "gauge", "Number of processes running inside the container."),
    ("container_spec_memory_limit_bytes", "gauge", "Memory limit for the container."),
    ("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds."),
)
_NETWORK_FAMILIES = (
    ("container_network_receive_bytes_total", "counter", "Cumulative count of bytes received"),
    ("container_network_receive_errors_total", "counter", "Cumulative count of errors encountered while receiving"),
    ("container_network_transmit_bytes_total", "counter", "Cumulative count of bytes transmitted"),
    ("container_network_transmit_errors_total", "counter", "Cumulative count of errors encountered while transmitting"),
)


def cadvisor_metrics(sample: NodeSample) -> list[MetricFamily]:
    """All families."""
    families = {facts[0]: MetricFamily(*facts) for facts in (*_CONTAINER_FAMILIES, *_NETWORK_FAMILIES)}
    machine = [_gauge("machine_cpu_cores", "Number of logical CPU cores.", sample.cpus)]
    for pod in sample.pods:
        for container in pod.containers:
            labels = _labels(pod, container)
            for name, value in _values(container).items():
                families[name].add(value, labels, container.usage.sampled_at)
        for interface in pod.interfaces:
            labels = {**_pod_labels(pod), "container": "", "image": "", "interface": interface.name}
            counts = (
                interface.received_bytes, interface.received_errors, interface.sent_bytes, interface.sent_errors,
            )  # fmt: skip
            for (name, _, _), count in zip(_NETWORK_FAMILIES, counts, strict=True):
                families[name].add(count, labels, sample.time)
    return [*families.values(), *machine]


def _values(container: ContainerSample) -> dict[str, float]:
    usage = container.usage
    values: dict[str, float] = {
        "container_cpu_usage_seconds_total": usage.cpu_nanoseconds / NANOSECONDS,
        "container_memory_rss": usage.memory_rss_bytes,
        "container_memory_usage_bytes": usage.memory_usage_bytes,
        "container_memory_working_set_bytes": usage.memory_working_set_bytes,
        "container_processes": usage.processes,
        "container_spec_memory_limit_bytes": usage.memory_limit_bytes,
    }
    if container.started_at is not None:
        values["container_start_time_seconds"] = container.started_at.timestamp()
    return values


def _labels(pod: PodSample, container: ContainerSample) -> dict[str, str]:
    cpu = {"id": f"/docker/{container.id}", "name": container.id}
    return {**_pod_labels(pod), **cpu, "container": container.name, "image": container.image}


def _pod_labels(pod: PodSample) -> dict[str, str]:
    metadata = pod.pod["metadata"]
    return {"namespace": metadata["namespace"], "pod": metadata["name"]}


def _gauge(name: str, help: str, value: float) -> MetricFamily:
    family = MetricFamily(name, "gauge", help)
    family.add(value)
    return family
