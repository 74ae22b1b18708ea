"""The Summary of a sample."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from agent.node.eviction.pod_usage import FileUsage
from agent.node.host_counters import HostCounters
from agent.node.host_facts import DiskUsage, HostUsage
from agent.usage.container_cgroup import ContainerCgroup
from agent.usage.container_usage import ContainerUsage
from agent.usage.pressure import Pressure, Pressures, Stall
from agent.usage.samples import NODE, ContainerSample, NodeSample, PodSample
from agent.usage.summary import summary_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DISK = DiskUsage(capacity_bytes=1 << 40, available_bytes=1 << 39, inodes=100, inodes_free=90)
POD: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "default", "uid": "u"},
    "spec": {"containers": [{"name": name, "resources": {"limits": {"memory": "500"}}} for name in ("a", "b")]},
}
#: pressures of a container or the node, and of the Pod's own cgroup
LOW, HIGH = (Pressures(cpu=Pressure(some=Stall(avg10=share, total=4))) for share in (0.5, 2.5))


def container(name: str, nanoseconds: int, cgroup: ContainerCgroup | None = None) -> ContainerSample:
    usage = ContainerUsage(
        sampled_at=NOW,
        cpu_nanoseconds=nanoseconds,
        memory_usage_bytes=0,
        memory_working_set_bytes=nanoseconds,
        memory_rss_bytes=0,
    )
    return ContainerSample(
        name=name, id=f"id-of-{name}", image="i", started_at=NOW, log_path="x", usage=usage, cgroup=cgroup
    )


def summary(
    rates: dict[str, int],
    *,
    cgroup: ContainerCgroup | None = None,
    pressures: Pressures | None = None,
    short: bool = True,
) -> Any:
    idle = PodSample(pod={**POD, "metadata": {**POD["metadata"], "name": "idle"}}, containers=())
    sample = NodeSample(
        node_name="node-1",
        time=NOW,
        host=HostCounters(cpu_nanoseconds=9000, started_at=1.7e9, pressures=pressures),
        free=HostUsage(node_disk=DISK, image_disk=DISK),
        cpus=2,
        pods=(PodSample(pod=POD, containers=(container("a", 100, cgroup), container("b", 200, cgroup))), idle),
        cpu_rates=rates,
    )
    return summary_of(sample, only_cpu_and_memory=short, log_files=lambda path: FileUsage(used_bytes=70, inodes=2))


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


def test_a_pod_that_runs_nothing_is_left_out() -> None:
    assert [pod["podRef"]["name"] for pod in summary({})["pods"]] == ["web"]


def test_what_a_limit_leaves_is_told_of_the_pod_whose_containers_are_all_limited() -> None:
    (pod,) = summary({})["pods"]
    assert pod["memory"]["availableBytes"] == 1000 - 300
    assert "availableBytes" not in pod["containers"][0]["memory"]


def test_logs_have_the_inodes_of_their_files_on_the_disk_of_the_engine() -> None:
    (pod,) = summary({}, short=False)["pods"]
    logs = pod["containers"][0]["logs"]
    assert (logs["usedBytes"], logs["inodesUsed"]) == (70, 2)
    assert (logs["inodes"], logs["inodesFree"]) == (100, 90)


def test_swap_is_told_of_the_node_the_pod_and_its_containers() -> None:
    found = summary({}, cgroup=ContainerCgroup(swap_bytes=3, swap_limit_bytes=10))
    (pod,) = found["pods"]
    assert set(found["node"]["swap"]) == {"time", "swapUsageBytes", "swapAvailableBytes"}
    assert (pod["swap"]["swapUsageBytes"], "swapAvailableBytes" in pod["swap"]) == (6, False)
    assert [item["swap"]["swapAvailableBytes"] for item in pod["containers"]] == [7, 7]
    (unlimited,) = summary({}, cgroup=ContainerCgroup(swap_limit_bytes=None))["pods"]
    assert "swapAvailableBytes" not in unlimited["containers"][0]["swap"]


def test_pressures_are_told_where_the_kernel_measures_them() -> None:
    cgroup = ContainerCgroup(path="/kubepods/podu/c", pressures=LOW, pressures_above=HIGH)
    found = summary({}, cgroup=cgroup, pressures=LOW, short=False)
    (pod,) = found["pods"]
    assert found["node"]["cpu"]["psi"]["some"] == {"avg10": 0.5, "avg60": 0.0, "avg300": 0.0, "total": 4}
    assert pod["containers"][0]["cpu"]["psi"]["some"]["avg10"] == 0.5
    assert pod["cpu"]["psi"]["some"]["avg10"] == 2.5
    for stats in (found["node"], pod, *pod["containers"]):
        assert set(stats["memory"]["psi"]) == set(stats["io"]["psi"]) == {"some", "full"}


def test_pressures_of_a_cgroup_that_is_not_the_pods_are_not_its() -> None:
    (pod,) = summary({}, cgroup=ContainerCgroup(path="/docker/c", pressures=LOW, pressures_above=HIGH))["pods"]
    assert "psi" not in pod["cpu"]
    (without,) = summary({}, short=False)["pods"]
    assert not {"psi", "io"} & ({*without} | {*without["cpu"]})
