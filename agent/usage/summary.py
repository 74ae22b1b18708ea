"""`/stats/summary`: the kubelet's Summary (k8s.io/kubelet/pkg/apis/stats/v1alpha1) of a sample. Pure.

What is not known is left out, as a kubelet leaves out what its runtime does not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from agent.cgroups.limits import compute_pod_limits
from agent.node.eviction.pod_usage import FileUsage, PodUse
from agent.node.host_counters import InterfaceCounters
from agent.node.host_facts import DiskUsage
from agent.usage.claim_disks import ClaimDisk
from agent.usage.container_usage import ContainerUsage
from agent.usage.pressure import Pressures
from agent.usage.samples import NODE, ContainerSample, NodeSample, PodSample
from control.api.objects import Object
from control.api.timestamps import format_time

#: the interface whose counters stand for the whole of a Pod's or a node's network
MAIN_INTERFACE = "eth0"


def summary_of(sample: NodeSample, *, only_cpu_and_memory: bool, log_files: Callable[[str], FileUsage]) -> Object:
    """The Summary; with `only_cpu_and_memory` nothing but what the parameter of that name asks for.

    Pods that run no container are not in it.
    """
    pods = [_pod_stats(pod, sample, only_cpu_and_memory, log_files) for pod in sample.pods if pod.containers]
    return {"node": _node_stats(sample, only_cpu_and_memory), "pods": pods}


def _node_stats(sample: NodeSample, only_cpu_and_memory: bool) -> Object:
    time, memory = format_time(sample.time), sample.host.memory
    pressures = sample.host.pressures
    stats: Object = {
        "nodeName": sample.node_name,
        "startTime": format_time(datetime.fromtimestamp(sample.host.started_at, UTC)),
        "cpu": {**_cpu(time, sample.host.cpu_nanoseconds, sample.cpu_rates.get(NODE)), **_psi(pressures, "cpu")},
        "memory": {
            "time": time,
            "availableBytes": memory.available_bytes,
            "usageBytes": memory.usage_bytes,
            "workingSetBytes": memory.working_set_bytes,
            "rssBytes": memory.rss_bytes,
            "pageFaults": memory.page_faults,
            "majorPageFaults": memory.major_page_faults,
            **_psi(pressures, "memory"),
        },
        "swap": {
            "time": time,
            "swapUsageBytes": memory.swap_bytes,
            "swapAvailableBytes": memory.swap_available_bytes,
        },
    }
    if only_cpu_and_memory:
        return stats
    stats.update(_io(time, pressures))
    image_disk = _filesystem(sample.free.image_disk, time)
    stats["network"] = _network(sample.host.interfaces, time)
    stats["fs"] = _filesystem(sample.free.node_disk, time)
    stats["runtime"] = {"imageFs": image_disk, "containerFs": image_disk}
    stats["rlimit"] = {"time": time, "maxpid": sample.free.pid_max, "curproc": sample.free.pids}
    return stats


def _cpu(time: str, nanoseconds: int, rate: int | None) -> Object:
    """`rate` is None until there was a look before."""
    return {"time": time, **({} if rate is None else {"usageNanoCores": rate}), "usageCoreNanoSeconds": nanoseconds}


def _share(disk: DiskUsage, files: FileUsage, time: str) -> Object:
    """A file system, and what somebody has on it."""
    return {**_filesystem(disk, time), "usedBytes": files.used_bytes, "inodesUsed": files.inodes}


def _filesystem(disk: DiskUsage, time: str) -> Object:
    stats: Object = {
        "time": time,
        "availableBytes": disk.available_bytes,
        "capacityBytes": disk.capacity_bytes,
        "usedBytes": max(0, disk.capacity_bytes - disk.available_bytes),
    }
    if disk.inodes:
        stats["inodes"], stats["inodesFree"] = disk.inodes, disk.inodes_free
        stats["inodesUsed"] = disk.inodes - disk.inodes_free
    return stats


def _pod_stats(
    pod: PodSample, sample: NodeSample, only_cpu_and_memory: bool, log_files: Callable[[str], FileUsage]
) -> Object:
    metadata, time = pod.pod["metadata"], format_time(sample.time)
    files = sample.files.get(metadata["uid"])
    stats: Object = {
        "podRef": {name: metadata[name] for name in ("name", "namespace", "uid")},
        "startTime": (pod.pod.get("status") or {}).get("startTime"),
        "containers": [
            _container_stats(item, sample, files, only_cpu_and_memory, log_files) for item in pod.containers
        ],
        **_pod_usage(pod, sample, time),
    }
    if not only_cpu_and_memory:
        if pod.interfaces:
            stats["network"] = _network(pod.interfaces, time)
        stats.update(_pod_files(pod, sample, files, time))
        stats["process_stats"] = {"process_count": sum(container.process_count for container in pod.containers)}
        stats.update(_io(time, pod.pressures))
    return stats


def _pod_usage(pod: PodSample, sample: NodeSample, time: str) -> Object:
    """All containers together, and what the Pod's own limit of memory leaves."""
    usages = [container.usage for container in pod.containers]
    rates = [sample.cpu_rates[item.id] for item in pod.containers if item.id in sample.cpu_rates]
    working_set, limit = sum(usage.memory_working_set_bytes for usage in usages), compute_pod_limits(pod.pod)
    cpu = _cpu(time, sum(usage.cpu_nanoseconds for usage in usages), sum(rates) if rates else None)
    usage: Object = {
        "cpu": {**cpu, **_psi(pod.pressures, "cpu")},
        "memory": {
            "time": time,
            **_available(limit.memory_bytes, working_set),
            "usageBytes": sum(usage.memory_usage_bytes for usage in usages),
            "workingSetBytes": working_set,
            "rssBytes": sum(usage.memory_rss_bytes for usage in usages),
            "pageFaults": sum(usage.page_faults for usage in usages),
            "majorPageFaults": sum(usage.major_page_faults for usage in usages),
            **_psi(pod.pressures, "memory"),
        },
    }
    swapped = [container.cgroup.swap_bytes for container in pod.containers if container.cgroup is not None]
    if swapped:
        usage["swap"] = {"time": time, "swapUsageBytes": sum(swapped)}
    return usage


def _pod_files(pod: PodSample, sample: NodeSample, files: PodUse | None, time: str) -> Object:
    """Volumes, and what counts as ephemeral storage."""
    volumes = [_claim_stats(claim, pod.pod["metadata"]["namespace"], time) for claim in pod.claims]
    volumes += [{**_share(item.disk, item.files, time), "name": item.name} for item in pod.written]
    if files is None:
        return {"volume": volumes} if volumes else {}
    disk, everything = sample.free.node_disk, files.container_files.plus(files.volume_files)
    volumes += [{**_share(disk, use, time), "name": name} for name, use in files.volumes.items()]
    return {"ephemeral-storage": _share(disk, everything, time), "volume": volumes}


def _claim_stats(claim: ClaimDisk, namespace: str, time: str) -> Object:
    reference = {"name": claim.claim_name, "namespace": namespace}
    return {**_filesystem(claim.disk, time), "name": claim.volume_name, "pvcRef": reference}


def _container_stats(
    container: ContainerSample,
    sample: NodeSample,
    files: PodUse | None,
    only_cpu_and_memory: bool,
    log_files: Callable[[str], FileUsage],
) -> Object:
    usage, cgroup = container.usage, container.cgroup
    time = format_time(usage.sampled_at)
    pressures = cgroup.pressures if cgroup is not None else None
    cpu = _cpu(time, usage.cpu_nanoseconds, sample.cpu_rates.get(container.id))
    stats: Object = {
        "name": container.name,
        "startTime": format_time(container.started_at) if container.started_at else None,
        "cpu": {**cpu, **_psi(pressures, "cpu")},
        "memory": {"time": time, **_memory(usage), **_psi(pressures, "memory")},
    }
    if cgroup is not None:
        stats["swap"] = {"time": time, "swapUsageBytes": cgroup.swap_bytes}
        if cgroup.swap_limit_bytes is not None:
            stats["swap"]["swapAvailableBytes"] = max(0, cgroup.swap_limit_bytes - cgroup.swap_bytes)
    if not only_cpu_and_memory:
        disk, now = sample.free.image_disk, format_time(sample.time)
        if files is not None and container.name in files.containers:
            stats["rootfs"] = _share(disk, files.containers[container.name].layer, now)
        # Docker's logs lie beside its images.
        stats["logs"] = _share(disk, log_files(container.log_path), now)
        stats.update(_io(time, pressures))
    return stats


def _memory(usage: ContainerUsage) -> dict[str, Any]:
    working_set = usage.memory_working_set_bytes
    return {
        **_available(usage.memory_limit_bytes, working_set),
        "usageBytes": usage.memory_usage_bytes,
        "workingSetBytes": working_set,
        "rssBytes": usage.memory_rss_bytes,
        "pageFaults": usage.page_faults,
        "majorPageFaults": usage.major_page_faults,
    }


def _available(limit_bytes: int, working_set_bytes: int) -> dict[str, int]:
    """What a limit leaves; nothing where there is none."""
    return {"availableBytes": max(0, limit_bytes - working_set_bytes)} if limit_bytes else {}


def _psi(pressures: Pressures | None, resource: str) -> Object:
    """`psi` of a resource, where the kernel measures it (KEP-4205)."""
    return {} if pressures is None else {"psi": asdict(getattr(pressures, resource))}


def _io(time: str, pressures: Pressures | None) -> Object:
    return {} if pressures is None else {"io": {"time": time, **_psi(pressures, "io")}}


def _network(interfaces: Sequence[InterfaceCounters], time: str) -> Object:
    shown = [_interface(item) for item in interfaces]
    main = next((item for item in shown if item["name"] == MAIN_INTERFACE), {"name": ""})
    return {"time": time, **main, "interfaces": shown}


def _interface(counters: InterfaceCounters) -> Object:
    return {
        "name": counters.name,
        "rxBytes": counters.received_bytes,
        "rxErrors": counters.received_errors,
        "txBytes": counters.sent_bytes,
        "txErrors": counters.sent_errors,
    }
