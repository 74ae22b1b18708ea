from __future__ import annotations

from agent.node.host_counters import (
    InterfaceCounters,
    boot_time,
    cpu_nanoseconds,
    parse_interfaces,
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
        InterfaceCounters(name="eth0", received_bytes=1234, received_errors=2, sent_bytes=5678, sent_errors=3)
    ]


def test_files_that_say_nothing_are_zeros() -> None:
    assert (cpu_nanoseconds("", 100), boot_time(""), parse_interfaces("")) == (0, 0.0, [])
