from __future__ import annotations

from pathlib import Path

from agent.node.host_counters import (
    InterfaceCounters,
    boot_time,
    cpu_nanoseconds,
    parse_interfaces,
    read_pressures,
)

STAT = "cpu  100 20 30 9999 5 6 4 3 50 0\ncpu0 1 1 1 1 1 1 1 1 1 1\nbtime 1700000000\n"
DEV = """Inter-|   Receive                        |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:  100    1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: 1234   10    2    0    0     0          0         0     5678      20    3    0    0     0       0          0
"""


def test_processor_time_in_use_leaves_out_idle_waiting_and_stolen_time() -> None:
    assert cpu_nanoseconds(STAT, 100) == 160 * 10**7


def test_the_host_says_when_it_started() -> None:
    assert boot_time(STAT) == 1_700_000_000.0


def test_interfaces_are_read_without_the_loopback() -> None:
    assert parse_interfaces(DEV) == [
        InterfaceCounters(
            name="eth0",
            received_bytes=1234,
            received_packets=10,
            received_errors=2,
            received_dropped=0,
            sent_bytes=5678,
            sent_packets=20,
            sent_errors=3,
            sent_dropped=0,
        )
    ]


def test_pressures_are_those_of_a_host_with_cgroup_v2(tmp_path: Path) -> None:
    for name in ("cpu", "memory", "io"):
        (tmp_path / name).write_text("some avg10=1.50 avg60=0.00 avg300=0.00 total=7\n")
    assert read_pressures(tmp_path, tmp_path) is None
    (tmp_path / "cgroup.controllers").touch()
    pressures = read_pressures(tmp_path, tmp_path)
    assert pressures is not None
    assert (pressures.io.some.avg10, pressures.io.some.total) == (1.5, 7)
    assert read_pressures(tmp_path / "none", tmp_path) is None


def test_files_that_say_nothing_are_zeros() -> None:
    assert (cpu_nanoseconds("", 100), boot_time(""), parse_interfaces("")) == (0, 0.0, [])
