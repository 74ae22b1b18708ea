"""`/metrics/cadvisor`: the numbers of containers, Pods and the node by cadvisor's names (metrics/prometheus.go). Pure.

The labels are the kubelet's (containerPrometheusLabelsFunc, pkg/kubelet/server/server.go, v1.36): `id` is the cgroup;
a Pod as a whole and the node have no `container`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from agent.node.eviction.pod_usage import FileUsage
from agent.node.host_counters import InterfaceCounters
from agent.usage.cadvisor_families import FAMILIES
from agent.usage.container_usage import DiskTransfers
from agent.usage.pressure import RESOURCES, Pressures
from agent.usage.prometheus import MetricFamily, single_sample
from agent.usage.resource_metrics import NANOSECONDS
from agent.usage.samples import ContainerSample, NodeSample, PodSample

MICROSECONDS = 1e6
#: what cadvisor tells of a container's settings has no time
_UNTIMED = frozenset(name for name in FAMILIES if name.startswith("spec_")) | {"start_time_seconds"}
#: name of a family without its prefix `container_`, the labels that only it has, and the value
Value = tuple[str, dict[str, str], float]


def cadvisor_metrics(sample: NodeSample, *, version: str) -> list[MetricFamily]:
    """All families. `version` is the engine's."""
    families = {name: MetricFamily(f"container_{name}", kind, text) for name, (kind, text) in FAMILIES.items()}

    def add(labels: dict[str, str], values: Iterable[Value], time: datetime) -> None:
        for name, more, value in values:
            families[name].add(value, {**labels, **more}, None if name in _UNTIMED else time)

    add(_labels("/"), _node_values(sample), sample.time)
    for pod in sample.pods:
        add(_pod_labels(pod), _pod_values(pod), sample.time)
        for container in pod.containers:
            values = _container_values(pod, container, sample)
            add(_container_labels(pod, container), values, container.usage.sampled_at)
    return [*families.values(), *_machine(sample, version)]


def _node_values(sample: NodeSample) -> Iterator[Value]:
    host = sample.host
    yield "cpu_usage_seconds_total", {"cpu": "total"}, host.cpu_nanoseconds / NANOSECONDS
    yield "memory_usage_bytes", {}, host.memory.usage_bytes
    yield "memory_working_set_bytes", {}, host.memory.working_set_bytes
    yield "memory_rss", {}, host.memory.rss_bytes
    yield "memory_swap", {}, host.memory.swap_bytes
    yield "start_time_seconds", {}, int(host.started_at)
    yield "last_seen", {}, int(sample.time.timestamp())
    yield from _network_values(host.interfaces)
    yield from _pressure_values(host.pressures)


def _pod_values(pod: PodSample) -> Iterator[Value]:
    """Its containers together, and its network."""
    yield from _network_values(pod.interfaces)
    if not pod.containers:
        return
    usages = [container.usage for container in pod.containers]
    cpu = sum(usage.cpu_nanoseconds for usage in usages) / NANOSECONDS
    yield "cpu_usage_seconds_total", {"cpu": "total"}, cpu
    yield "memory_usage_bytes", {}, sum(usage.memory_usage_bytes for usage in usages)
    yield "memory_working_set_bytes", {}, sum(usage.memory_working_set_bytes for usage in usages)
    yield "memory_rss", {}, sum(usage.memory_rss_bytes for usage in usages)
    yield "memory_cache", {}, sum(usage.cache_bytes for usage in usages)
    yield from _pressure_values(pod.pressures)


def _container_values(pod: PodSample, container: ContainerSample, sample: NodeSample) -> Iterator[Value]:
    yield "last_seen", {}, int(sample.time.timestamp())
    if container.started_at is not None:
        yield "start_time_seconds", {}, int(container.started_at.timestamp())
    yield from _cpu_values(container)
    yield from _memory_values(container)
    yield from _disk_values(container)
    yield from _kernel_values(container)
    files = sample.files.get(pod.pod["metadata"]["uid"])
    if files is not None and container.name in files.containers:
        yield from _layer_values(files.containers[container.name].layer, sample)


def _cpu_values(container: ContainerSample) -> Iterator[Value]:
    usage = container.usage
    yield "cpu_usage_seconds_total", {"cpu": "total"}, usage.cpu_nanoseconds / NANOSECONDS
    yield "cpu_user_seconds_total", {}, usage.cpu_user_nanoseconds / NANOSECONDS
    yield "cpu_system_seconds_total", {}, usage.cpu_system_nanoseconds / NANOSECONDS
    if container.cgroup is not None and container.cgroup.cpu_quota_microseconds:
        yield "cpu_cfs_periods_total", {}, usage.cpu_periods
        yield "cpu_cfs_throttled_periods_total", {}, usage.cpu_throttled_periods
        yield "cpu_cfs_throttled_seconds_total", {}, usage.cpu_throttled_nanoseconds / NANOSECONDS


def _memory_values(container: ContainerSample) -> Iterator[Value]:
    usage = container.usage
    yield "memory_cache", {}, usage.cache_bytes
    yield "memory_rss", {}, usage.memory_rss_bytes
    yield "memory_mapped_file", {}, usage.mapped_file_bytes
    yield "memory_failcnt", {}, usage.memory_failures
    yield "memory_usage_bytes", {}, usage.memory_usage_bytes
    yield "memory_max_usage_bytes", {}, usage.memory_max_usage_bytes
    yield "memory_working_set_bytes", {}, usage.memory_working_set_bytes
    yield "memory_total_active_file_bytes", {}, usage.active_file_bytes
    yield "memory_total_inactive_file_bytes", {}, usage.inactive_file_bytes
    yield "spec_memory_limit_bytes", {}, usage.memory_limit_bytes
    for scope in ("container", "hierarchy"):
        yield "memory_failures_total", {"failure_type": "pgfault", "scope": scope}, usage.page_faults
        yield "memory_failures_total", {"failure_type": "pgmajfault", "scope": scope}, usage.major_page_faults


def _disk_values(container: ContainerSample) -> Iterator[Value]:
    usage = container.usage
    for transfers in usage.disk_bytes:
        operation = {"major": str(transfers.major), "minor": str(transfers.minor), "operation": transfers.operation}
        yield "blkio_device_usage_total", {**_device(transfers), **operation}, transfers.amount
    for suffix, several in (("bytes_total", usage.disk_bytes), ("total", usage.disk_transfers)):
        for transfers in several:
            if transfers.operation in ("Read", "Write"):
                yield f"fs_{transfers.operation.lower()}s_{suffix}", _device(transfers), transfers.amount


def _kernel_values(container: ContainerSample) -> Iterator[Value]:
    """What its cgroup and its processes tell."""
    cgroup, processes = container.cgroup, container.processes
    if cgroup is None:
        return
    yield "spec_cpu_period", {}, cgroup.cpu_period_microseconds
    if cgroup.cpu_quota_microseconds:
        yield "spec_cpu_quota", {}, cgroup.cpu_quota_microseconds
    yield "spec_cpu_shares", {}, cgroup.cpu_shares
    yield "spec_memory_swap_limit_bytes", {}, cgroup.swap_limit_bytes or 0
    yield "spec_memory_reservation_limit_bytes", {}, cgroup.memory_reservation_bytes
    yield "memory_swap", {}, cgroup.swap_bytes
    yield "oom_events_total", {}, cgroup.out_of_memory_kills
    yield "processes", {}, len(cgroup.process_ids)
    yield "threads", {}, cgroup.threads
    yield "threads_max", {}, cgroup.threads_max
    if processes is not None:
        yield "file_descriptors", {}, processes.open_files
        yield "sockets", {}, processes.sockets
        yield "ulimits_soft", {"ulimit": "max_open_files"}, processes.open_files_max
    yield from _pressure_values(cgroup.pressures)


def _layer_values(layer: FileUsage, sample: NodeSample) -> Iterator[Value]:
    """What the container has written, and the disk it lies on."""
    disk = sample.free.image_disk
    device = {"device": ""}
    yield "fs_usage_bytes", device, layer.used_bytes
    yield "fs_limit_bytes", device, disk.capacity_bytes
    yield "fs_inodes_total", device, disk.inodes
    yield "fs_inodes_free", device, disk.inodes_free


def _network_values(interfaces: Iterable[InterfaceCounters]) -> Iterator[Value]:
    for item in interfaces:
        name = {"interface": item.name}
        yield "network_receive_bytes_total", name, item.received_bytes
        yield "network_receive_packets_total", name, item.received_packets
        yield "network_receive_packets_dropped_total", name, item.received_dropped
        yield "network_receive_errors_total", name, item.received_errors
        yield "network_transmit_bytes_total", name, item.sent_bytes
        yield "network_transmit_packets_total", name, item.sent_packets
        yield "network_transmit_packets_dropped_total", name, item.sent_dropped
        yield "network_transmit_errors_total", name, item.sent_errors


def _pressure_values(pressures: Pressures | None) -> Iterator[Value]:
    if pressures is None:
        return
    for resource in RESOURCES:
        pressure = getattr(pressures, resource)
        yield f"pressure_{resource}_stalled_seconds_total", {}, pressure.full.total / MICROSECONDS
        yield f"pressure_{resource}_waiting_seconds_total", {}, pressure.some.total / MICROSECONDS


def _device(transfers: DiskTransfers) -> dict[str, str]:
    return {"device": f"{transfers.major}:{transfers.minor}"}


def _labels(id: str, **others: str) -> dict[str, str]:
    """All samples of a family have the same labels."""
    return {"container": "", "id": id, "image": "", "name": "", "namespace": "", "pod": "", **others}


def _pod_labels(pod: PodSample) -> dict[str, str]:
    metadata = pod.pod["metadata"]
    return _labels(pod.cgroup_path or f"/pod{metadata['uid']}", namespace=metadata["namespace"], pod=metadata["name"])


def _container_labels(pod: PodSample, container: ContainerSample) -> dict[str, str]:
    path = container.cgroup.path if container.cgroup is not None else f"/docker/{container.id}"
    own = {"id": path, "container": container.name, "image": container.image, "name": container.id}
    return {**_pod_labels(pod), **own}


def _machine(sample: NodeSample, version: str) -> list[MetricFamily]:
    memory = sample.host.memory
    info = "A metric with a constant '1' value labeled by version."
    return [
        single_sample("cadvisor_version_info", "gauge", info, 1, {"dockerVersion": version}),
        single_sample("machine_cpu_cores", "gauge", "Number of logical CPU cores.", sample.cpus),
        single_sample(
            "machine_memory_bytes", "gauge", "Amount of memory installed on the machine.", memory.capacity_bytes
        ),
        single_sample(
            "machine_swap_bytes", "gauge", "Amount of swap memory available on the machine.", memory.swap_capacity_bytes
        ),
        single_sample(
            "container_scrape_error",
            "gauge",
            "1 if there was an error while getting container metrics, 0 otherwise",
            1 if sample.failures else 0,
        ),
    ]
