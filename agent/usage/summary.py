"""`/stats/summary`: the kubelet's Summary (k8s.io/kubelet/pkg/apis/stats/v1alpha1) of a sample. Pure.

What is not known is left out, as a kubelet leaves out what its runtime does not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from agent.node.eviction.pod_usage import FileUsage, PodUse
from agent.node.host_counters import InterfaceCounters
from agent.node.host_facts import DiskUsage
from agent.usage.claim_disks import ClaimDisk
from agent.usage.container_usage import ContainerUsage
from agent.usage.samples import NODE, ContainerSample, NodeSample, PodSample
from control.api.objects import Object
from control.api.timestamps import format_time

#: the interface whose counters stand for the whole of a Pod's or a node's network
MAIN_INTERFACE = "eth0"


def summary_of(sample: NodeSample, *, only_cpu_and_memory: bool, log_bytes: Callable[[str], int]) -> Object:
    """The Summary; with `only_cpu_and_memory` nothing but what the parameter of that name asks for."""
    pods = [_pod_stats(pod, sample, only_cpu_and_memory, log_bytes) for pod in sample.pods]
    return {"node": _node_stats(sample, only_cpu_and_memory), "pods": pods}


def _node_stats(sample: NodeSample, only_cpu_and_memory: bool) -> Object:
    time, memory = format_time(sample.time), sample.host.memory
    stats: Object = {
        "nodeName": sample.node_name,
        "startTime": format_time(datetime.fromtimestamp(sample.host.started_at, UTC)),
        "cpu": _cpu(time, sample.host.cpu_nanoseconds, sample.cpu_rates.get(NODE)),
        "memory": {
            "time": time,
            "availableBytes": memory.available_bytes,
            "usageBytes": memory.usage_bytes,
            "workingSetBytes": memory.working_set_bytes,
            "rssBytes": memory.rss_bytes,
            "pageFaults": memory.page_faults,
            "majorPageFaults": memory.major_page_faults,
        },
    }
    if only_cpu_and_memory:
        return stats
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
    pod: PodSample, sample: NodeSample, only_cpu_and_memory: bool, log_bytes: Callable[[str], int]
) -> Object:
    metadata, usages = pod.pod["metadata"], [container.usage for container in pod.containers]
    time = format_time(sample.time)
    files = sample.files.get(metadata["uid"])
    rates = [sample.cpu_rates[item.id] for item in pod.containers if item.id in sample.cpu_rates]
    stats: Object = {
        "podRef": {name: metadata[name] for name in ("name", "namespace", "uid")},
        "startTime": (pod.pod.get("status") or {}).get("startTime"),
        "containers": [
            _container_stats(item, sample, files, only_cpu_and_memory, log_bytes) for item in pod.containers
        ],
        "cpu": _cpu(time, sum(usage.cpu_nanoseconds for usage in usages), sum(rates) if rates else None),
        "memory": {
            "time": time,
            "usageBytes": sum(usage.memory_usage_bytes for usage in usages),
            "workingSetBytes": sum(usage.memory_working_set_bytes for usage in usages),
            "rssBytes": sum(usage.memory_rss_bytes for usage in usages),
            "pageFaults": sum(usage.page_faults for usage in usages),
            "majorPageFaults": sum(usage.major_page_faults for usage in usages),
        },
    }
    if not only_cpu_and_memory:
        if pod.interfaces:
            stats["network"] = _network(pod.interfaces, time)
        volumes = [_claim_stats(claim, metadata["namespace"], time) for claim in pod.claims]
        if files is not None:
            volumes += [
                {**_share(sample.free.node_disk, use, time), "name": name} for name, use in files.volumes.items()
            ]
            everything = files.container_files.plus(files.volume_files)
            stats["ephemeral-storage"] = _share(sample.free.node_disk, everything, time)
        if files is not None or volumes:
            stats["volume"] = volumes
        stats["process_stats"] = {"process_count": sum(usage.processes for usage in usages)}
    return stats


def _claim_stats(claim: ClaimDisk, namespace: str, time: str) -> Object:
    reference = {"name": claim.claim_name, "namespace": namespace}
    return {**_filesystem(claim.disk, time), "name": claim.volume_name, "pvcRef": reference}


def _container_stats(
    container: ContainerSample,
    sample: NodeSample,
    files: PodUse | None,
    only_cpu_and_memory: bool,
    log_bytes: Callable[[str], int],
) -> Object:
    usage = container.usage
    time = format_time(usage.sampled_at)
    stats: Object = {
        "name": container.name,
        "startTime": format_time(container.started_at) if container.started_at else None,
        "cpu": _cpu(time, usage.cpu_nanoseconds, sample.cpu_rates.get(container.id)),
        "memory": {"time": time, **_memory(usage)},
    }
    if not only_cpu_and_memory:
        if files is not None and container.name in files.containers:
            layer = files.containers[container.name].layer
            stats["rootfs"] = _share(sample.free.image_disk, layer, format_time(sample.time))
        # Docker's logs lie beside its images; how many inodes of those are theirs nobody counts.
        disk = replace(sample.free.image_disk, inodes=0)
        stats["logs"] = {**_filesystem(disk, format_time(sample.time)), "usedBytes": log_bytes(container.log_path)}
    return stats


def _memory(usage: ContainerUsage) -> dict[str, Any]:
    limit, working_set = usage.memory_limit_bytes, usage.memory_working_set_bytes
    available = {"availableBytes": max(0, limit - working_set)} if limit else {}
    return {
        **available,
        "usageBytes": usage.memory_usage_bytes,
        "workingSetBytes": working_set,
        "rssBytes": usage.memory_rss_bytes,
        "pageFaults": usage.page_faults,
        "majorPageFaults": usage.major_page_faults,
    }


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
