"""The families of upstream's test of container metrics (test/e2e_node/container_metrics_test.go), and their labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.node.eviction.pod_usage import ContainerUse, FileUsage, PodUse
from agent.node.host_counters import HostCounters, InterfaceCounters
from agent.node.host_facts import HostUsage
from agent.usage.cadvisor_metrics import cadvisor_metrics
from agent.usage.container_cgroup import ContainerCgroup
from agent.usage.container_processes import ContainerProcesses
from agent.usage.container_usage import ContainerUsage, DiskTransfers
from agent.usage.pressure import Pressure, Pressures, Stall
from agent.usage.prometheus import format_metrics
from agent.usage.samples import ContainerSample, NodeSample, PodSample
from tests.unit.agent.usage.test_summary import DISK, NOW, POD

#: of upstream's test: those of a container, and those of its Pod's network
EXPECTED = (
    *("blkio_device_usage_total", "cpu_system_seconds_total", "cpu_usage_seconds_total", "cpu_user_seconds_total"),
    *("file_descriptors", "fs_reads_bytes_total", "fs_reads_total", "fs_usage_bytes", "fs_writes_bytes_total"),
    *("fs_writes_total", "last_seen", "memory_cache", "memory_failcnt", "memory_failures_total"),
    *("memory_mapped_file", "memory_max_usage_bytes", "memory_rss", "memory_swap", "memory_usage_bytes"),
    *("memory_working_set_bytes", "oom_events_total", "processes", "sockets", "spec_cpu_period", "spec_cpu_shares"),
    *("spec_memory_limit_bytes", "spec_memory_reservation_limit_bytes", "spec_memory_swap_limit_bytes"),
    *("start_time_seconds", "threads", "threads_max", "ulimits_soft"),
    *("fs_inodes_free", "fs_inodes_total", "fs_limit_bytes"),
)
EXPECTED_OF_NETWORKS = [
    f"network_{way}_{what}_total"
    for way in ("receive", "transmit")
    for what in ("bytes", "errors", "packets", "packets_dropped")
]
PRESSURES = Pressures(cpu=Pressure(some=Stall(total=2_500_000), full=Stall(total=1_000_000)))
INTERFACE = InterfaceCounters(
    name="eth0",
    received_bytes=1,
    received_packets=2,
    received_errors=3,
    received_dropped=4,
    sent_bytes=5,
    sent_packets=6,
    sent_errors=7,
    sent_dropped=8,
)


def transfers(*amounts: int) -> tuple[DiskTransfers, ...]:
    return tuple(
        DiskTransfers(major=8, minor=1, operation=operation, amount=amount)
        for operation, amount in zip(("Read", "Write", "Sync"), amounts, strict=False)
    )


CONTAINER = ContainerSample(
    name="main",
    id="c" * 64,
    image="busybox",
    started_at=NOW,
    log_path="",
    usage=ContainerUsage(
        sampled_at=NOW,
        cpu_nanoseconds=1_500_000_000,
        memory_usage_bytes=1000,
        memory_working_set_bytes=700,
        memory_rss_bytes=500,
        page_faults=7,
        cpu_periods=9,
        disk_bytes=transfers(512, 1024, 99),
        disk_transfers=transfers(1, 2),
    ),
    cgroup=ContainerCgroup(
        path="/kubepods/podu/c",
        cpu_shares=2,
        cpu_period_microseconds=100_000,
        swap_limit_bytes=None,
        process_ids=(1, 2),
        threads=5,
    ),
    processes=ContainerProcesses(open_files=4, sockets=1, open_files_max=1024),
)


def lines(container: ContainerSample = CONTAINER, **host: Any) -> list[str]:
    use = PodUse(containers={"main": ContainerUse(layer=FileUsage(used_bytes=30, inodes=2))})
    sample = NodeSample(
        node_name="node-1",
        time=NOW,
        host=HostCounters(cpu_nanoseconds=9_000_000_000, started_at=1.7e9, **host),
        free=HostUsage(image_disk=DISK),
        cpus=2,
        pods=(PodSample(pod=POD, containers=(container,), interfaces=(INTERFACE,)),),
        files={"u": use},
    )
    return format_metrics(cadvisor_metrics(sample, version="20.10")).splitlines()


def test_a_container_has_the_families_that_upstream_looks_for() -> None:
    ids = f'id="/kubepods/podu/c",image="busybox",name="{"c" * 64}",namespace="default",pod="web"'
    found = {line.partition("{")[0] for line in lines() if 'container="main"' in line and "c" * 64 in line}
    assert found >= {f"container_{name}" for name in EXPECTED}
    assert f'container_threads{{container="main",{ids}}} 5 {int(NOW.timestamp() * 1000)}' in lines()
    assert f'container_spec_cpu_shares{{container="main",{ids}}} 2' in lines()


def test_a_pod_as_a_whole_has_its_network_and_no_container() -> None:
    of_pod = [
        line for line in lines() if 'container="",' in line and 'id="/kubepods/podu"' in line and 'pod="web"' in line
    ]
    assert {line.partition("{")[0] for line in of_pod} >= {f"container_{name}" for name in EXPECTED_OF_NETWORKS}
    (cpu,) = (line for line in of_pod if line.startswith("container_cpu_usage_seconds_total{"))
    assert 'cpu="total"' in cpu
    assert cpu.split()[1] == "1.5"


def test_the_node_is_the_cgroup_of_all() -> None:
    of_node = [line for line in lines() if 'id="/",' in line]
    assert any(line.startswith("container_cpu_usage_seconds_total{") and " 9 " in line for line in of_node)
    assert any(line.startswith("container_memory_working_set_bytes{") for line in of_node)


def test_the_family_of_a_name_has_one_set_of_labels() -> None:
    by_name: dict[str, set[tuple[str, ...]]] = {}
    for line in lines(replace(CONTAINER, cgroup=replace(CONTAINER.cgroup, pressures=PRESSURES)), pressures=PRESSURES):
        name, brace, rest = line.partition("{")
        if brace:
            names = tuple(part.partition("=")[0] for part in rest.rpartition("}")[0].split(","))
            by_name.setdefault(name, set()).add(names)
    assert {name for name, several in by_name.items() if len(several) > 1} == set()


def test_throttling_is_told_of_a_container_with_a_quota_alone() -> None:
    assert not any("cfs" in line or "quota" in line for line in lines())
    limited = replace(CONTAINER, cgroup=replace(CONTAINER.cgroup, cpu_quota_microseconds=50_000))
    found = [line.split()[1] for line in lines(limited) if line.startswith("container_cpu_cfs_periods_total{")]
    assert found == ["9"]
    assert any(line.startswith("container_spec_cpu_quota{") and line.endswith(" 50000") for line in lines(limited))


def test_pressures_are_seconds() -> None:
    pressed = replace(CONTAINER, cgroup=replace(CONTAINER.cgroup, pressures=PRESSURES))
    found = [line.split()[1] for line in lines(pressed) if line.startswith("container_pressure_cpu_waiting_seconds_to")]
    assert found == ["2.5"]
    assert not any("pressure" in line for line in lines())


def test_a_container_whose_cgroup_nobody_sees_has_what_the_engine_tells() -> None:
    found = lines(replace(CONTAINER, cgroup=None, processes=None))
    assert any(line.startswith('container_memory_rss{container="main",id="/docker/ccc') for line in found)
    assert not any(line.startswith("container_threads") for line in found)
