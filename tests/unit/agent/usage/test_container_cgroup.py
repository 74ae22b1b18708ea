"""A container's cgroup, read of directories that look like the kernel's."""

from __future__ import annotations

from pathlib import Path

from agent.cgroups.tree import LinuxCgroupTree
from agent.usage.container_cgroup import ContainerCgroup, read_container_cgroup
from agent.usage.pressure import RESOURCES

PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


def process(proc: Path, paths: str) -> Path:
    (proc / "7").mkdir(parents=True)
    (proc / "7" / "cgroup").write_text(paths)
    return proc


def write(directory: Path, files: dict[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(f"{text}\n")


def test_v1_has_a_directory_for_each_controller(tmp_path: Path) -> None:
    proc = process(tmp_path / "proc", "4:memory:/pod/c\n2:cpu,cpuacct:/pod/c\n3:pids:/pod/c\n0::/pod/c\n")
    root = tmp_path / "cgroup"
    for controller in ("memory", "cpu", "pids"):
        write(root / controller, {"cgroup.procs": ""})
    write(root / "cpu/pod/c", {"cpu.shares": "2", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "-1"})
    unlimited = str((1 << 63) - 4096)
    write(
        root / "memory/pod/c",
        {
            "memory.stat": "rss 1\nswap 5",
            "memory.memsw.limit_in_bytes": "160",
            "memory.soft_limit_in_bytes": unlimited,
            "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3",
            "cgroup.procs": "7\n8",
        },
    )
    write(root / "pids/pod/c", {"pids.current": "4", "pids.max": "max"})
    assert read_container_cgroup(LinuxCgroupTree(root), 7, proc) == ContainerCgroup(
        path="/pod/c",
        cpu_shares=2,
        cpu_period_microseconds=100_000,
        swap_bytes=5,
        swap_limit_bytes=160,
        out_of_memory_kills=3,
        threads=4,
        process_ids=(7, 8),
    )


def test_v2_has_one_directory_and_pressures(tmp_path: Path) -> None:
    proc = process(tmp_path / "proc", "0::/pod/c\n")
    root = tmp_path / "cgroup"
    write(root, {"cgroup.controllers": "cpu memory io pids"})
    write(
        root / "pod/c",
        {
            "cpu.weight": "1",
            "cpu.max": "50000 100000",
            "memory.low": "0",
            "memory.swap.current": "5",
            "memory.swap.max": "max",
            "memory.events": "oom 4\noom_kill 3",
            "pids.current": "4",
            "pids.max": "64",
            "cgroup.procs": "7",
            **{f"{name}.pressure": PRESSURE.format(total=2) for name in RESOURCES},
        },
    )
    write(root / "pod", {f"{name}.pressure": PRESSURE.format(total=6) for name in RESOURCES})
    found = read_container_cgroup(LinuxCgroupTree(root), 7, proc)
    assert found is not None
    assert (found.cpu_shares, found.cpu_quota_microseconds, found.cpu_period_microseconds) == (2, 50_000, 100_000)
    assert (found.swap_bytes, found.swap_limit_bytes, found.out_of_memory_kills) == (5, None, 3)
    assert (found.threads, found.threads_max, found.process_ids) == (4, 64, (7,))
    assert found.pressures is not None
    assert found.pressures_above is not None
    assert (found.pressures.cpu.some.total, found.pressures_above.io.some.total) == (2, 6)


def test_a_kernel_that_measures_no_pressure_has_none(tmp_path: Path) -> None:
    proc = process(tmp_path / "proc", "0::/c\n")
    write(tmp_path / "cgroup", {"cgroup.controllers": "cpu"})
    found = read_container_cgroup(LinuxCgroupTree(tmp_path / "cgroup"), 7, proc)
    assert found is not None
    assert found.pressures is None


def test_a_process_that_is_gone_has_no_cgroup(tmp_path: Path) -> None:
    assert read_container_cgroup(LinuxCgroupTree(tmp_path), 7, tmp_path) is None
