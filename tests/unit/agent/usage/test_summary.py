"""The Summary of a sample."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from agent.node.host_counters import HostCounters
from agent.node.host_facts import DiskUsage, HostUsage
from agent.usage.container_usage import ContainerUsage
from agent.usage.samples import NODE, ContainerSample, NodeSample, PodSample
from agent.usage.summary import summary_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DISK = DiskUsage(capacity_bytes=1 << 40, available_bytes=1 << 39)
POD: dict[str, Any] = {"metadata": {"name": "web", "namespace": "default", "uid": "u"}}


def container(name: str, nanoseconds: int) -> ContainerSample:
    usage = ContainerUsage(
        sampled_at=NOW,
        cpu_nanoseconds=nanoseconds,
        memory_usage_bytes=0,
        memory_working_set_bytes=0,
        memory_rss_bytes=0,
    )
    return ContainerSample(name=name, id=f"id-of-{name}", image="i", started_at=NOW, log_path="", usage=usage)


def summary(rates: dict[str, int]) -> Any:
    sample = NodeSample(
        node_name="node-1",
        time=NOW,
        host=HostCounters(cpu_nanoseconds=9000, started_at=1.7e9),
        free=HostUsage(node_disk=DISK, image_disk=DISK),
        cpus=2,
        pods=(PodSample(pod=POD, containers=(container("a", 100), container("b", 200))),),
        cpu_rates=rates,
    )
    return summary_of(sample, only_cpu_and_memory=True, log_bytes=lambda path: 0)


def test_processor_time_per_second_is_there_once_it_is_known() -> None:
    first = summary({})
    (pod,) = first["pods"]
    for stats in (first["node"], pod, *pod["containers"]):
        assert "usageNanoCores" not in stats["cpu"]
    later = summary({NODE: 70, "id-of-a": 30, "id-of-b": 20})
    (pod,) = later["pods"]
    assert later["node"]["cpu"]["usageNanoCores"] == 70
    assert [item["cpu"]["usageNanoCores"] for item in pod["containers"]] == [30, 20]
    assert (pod["cpu"]["usageNanoCores"], pod["cpu"]["usageCoreNanoSeconds"]) == (50, 300)
