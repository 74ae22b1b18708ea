"""`/metrics`: what the agent says of itself, by the kubelet's names (pkg/kubelet/metrics/metrics.go, v1.36). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.node.host_facts import DiskUsage
from agent.node.node_status import KUBELET_VERSION
from agent.usage.prometheus import MetricFamily, single_sample
from agent.usage.samples import PodSample

_VOLUME_STATS: tuple[tuple[str, str, Callable[[DiskUsage], int]], ...] = (
    ("capacity_bytes", "Capacity in bytes of the volume", lambda disk: disk.capacity_bytes),
    ("available_bytes", "Number of available bytes in the volume", lambda disk: disk.available_bytes),
    ("used_bytes", "Number of used bytes in the volume", lambda disk: disk.capacity_bytes - disk.available_bytes),
    ("inodes", "Maximum number of inodes in the volume", lambda disk: disk.inodes),
    ("inodes_free", "Number of free inodes in the volume", lambda disk: disk.inodes_free),
    ("inodes_used", "Number of used inodes in the volume", lambda disk: disk.inodes - disk.inodes_free),
)


def own_metrics(node_name: str, pods: Iterable[PodSample]) -> list[MetricFamily]:
    """All families. Of the Pods their claims are looked at."""
    build, name = "[ALPHA] A metric with a constant '1' value", "[ALPHA] The node's name. The count is always 1."
    return [
        single_sample("kubernetes_build_info", "gauge", build, 1, {"git_version": KUBELET_VERSION}),
        single_sample("kubelet_node_name", "gauge", name, 1, {"node": node_name}),
        *_volume_stats(pods),
    ]


def _volume_stats(pods: Iterable[PodSample]) -> list[MetricFamily]:
    """Of each claim once, however many Pods have it (pkg/kubelet/metrics/collectors/volume_stats.go)."""
    disks = {(pod.pod["metadata"]["namespace"], claim.claim_name): claim.disk for pod in pods for claim in pod.claims}
    families = []
    for name, help_text, amount in _VOLUME_STATS:
        family = MetricFamily(f"kubelet_volume_stats_{name}", "gauge", f"[ALPHA] {help_text}")
        for (namespace, claim_name), disk in disks.items():
            family.add(amount(disk), {"namespace": namespace, "persistentvolumeclaim": claim_name})
        families.append(family)
    return families
