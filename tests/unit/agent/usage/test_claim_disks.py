"""The file systems behind claims: asked where they were mounted, also after a restart of the agent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from agent.node.host_counters import HostCounters
from agent.node.host_facts import DiskUsage, HostUsage
from agent.usage.claim_disks import ClaimDisk, read_claim_disks
from agent.usage.own_metrics import own_metrics
from agent.usage.prometheus import format_metrics
from agent.usage.samples import NodeSample, PodSample
from agent.volumes.claimed_places import note_place
from agent.volumes.pod_directory import PodDirectory
from tests.unit.agent.usage.test_summary import NOW

POD: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "u"},
    "spec": {
        "volumes": [
            {"name": "v", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "own", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "cache", "emptyDir": {}},
        ]
    },
}


def test_only_claims_that_are_mounted_are_told_of(tmp_path: Path) -> None:
    directory = PodDirectory(tmp_path / "u")
    assert read_claim_disks(tmp_path, POD) == ()
    for name in ("v", "own", "cache"):
        note_place(directory, name, tmp_path)
    found = read_claim_disks(tmp_path, POD)
    assert [(one.volume_name, one.claim_name) for one in found] == [("v", "data"), ("own", "web-own")]
    assert {one.disk.capacity_bytes for one in found} == {os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize}


def test_a_volume_that_has_gone_is_left_out(tmp_path: Path) -> None:
    note_place(PodDirectory(tmp_path / "u"), "v", tmp_path / "gone")
    assert read_claim_disks(tmp_path, POD) == ()


def test_a_claim_that_two_pods_have_is_one_series() -> None:
    claim = ClaimDisk(volume_name="v", claim_name="data", disk=DiskUsage(capacity_bytes=100, available_bytes=70))
    sample = NodeSample(
        node_name="node-1",
        time=NOW,
        host=HostCounters(cpu_nanoseconds=0, started_at=0.0),
        free=HostUsage(),
        cpus=1,
        pods=(PodSample(pod=POD, containers=(), claims=(claim,)),) * 2,
    )
    lines = [
        line
        for line in format_metrics(own_metrics(sample.node_name, sample.pods)).splitlines()
        if line.startswith("kubelet_volume")
    ]
    labels = '{namespace="shop",persistentvolumeclaim="data"}'
    assert lines[:3] == [
        f"kubelet_volume_stats_capacity_bytes{labels} 100",
        f"kubelet_volume_stats_available_bytes{labels} 70",
        f"kubelet_volume_stats_used_bytes{labels} 30",
    ]
    assert len(lines) == 6
