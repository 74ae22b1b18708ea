from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agent.usage.container_usage import ContainerUsage, DiskTransfers, parse_usage

NOW = datetime(2026, 1, 1, tzinfo=UTC)
READ = "2026-01-01T00:00:05.123456789Z"
V1 = {"total_inactive_file": 300, "total_rss": 500, "total_pgfault": 7, "total_pgmajfault": 1, "inactive_file": 1}
V2 = {"inactive_file": 300, "anon": 500, "pgfault": 7, "pgmajfault": 1}


def sample(details: dict[str, int], **memory: int) -> dict[str, Any]:
    return {
        "read": READ,
        "cpu_stats": {"cpu_usage": {"total_usage": 42}},
        "memory_stats": {"usage": 1000, "stats": details, **memory},
        "pids_stats": {"current": 3},
    }


@pytest.mark.parametrize("details", [V1, V2], ids=["cgroup v1", "cgroup v2"])
def test_the_working_set_is_usage_without_inactive_file_pages(details: dict[str, int]) -> None:
    assert parse_usage(sample(details, limit=2048), NOW, 1 << 30) == ContainerUsage(
        sampled_at=datetime(2026, 1, 1, 0, 0, 5, 123456, tzinfo=UTC),
        cpu_nanoseconds=42,
        memory_usage_bytes=1000,
        memory_working_set_bytes=700,
        memory_rss_bytes=500,
        memory_limit_bytes=2048,
        page_faults=7,
        major_page_faults=1,
        inactive_file_bytes=300,
        threads=3,
    )


@pytest.mark.parametrize(
    ("limit", "host_bytes"),
    [(1 << 30, 1 << 30), ((1 << 63) - 4096, 0)],
    ids=["as much as the host has", "as much as a cgroup can have"],
)
def test_such_a_limit_is_none(limit: int, host_bytes: int) -> None:
    assert parse_usage(sample(V1, limit=limit), NOW, host_bytes).memory_limit_bytes == 0


def test_what_throttled_it_and_what_it_moved_is_read_of_both_versions() -> None:
    usage = parse_usage(
        {
            "cpu_stats": {
                "cpu_usage": {"usage_in_usermode": 30, "usage_in_kernelmode": 12},
                "throttling_data": {"periods": 9, "throttled_periods": 2, "throttled_time": 5},
            },
            "memory_stats": {"max_usage": 5, "failcnt": 6, "stats": {"file": 7, "file_mapped": 8, "active_file": 9}},
            "blkio_stats": {
                "io_service_bytes_recursive": [{"major": 8, "minor": 1, "op": "read", "value": 512}],
                "io_serviced_recursive": [{"major": 8, "minor": 1, "op": "Write", "value": 1}],
            },
        },
        NOW,
    )
    assert (usage.cpu_user_nanoseconds, usage.cpu_system_nanoseconds) == (30, 12)
    assert (usage.cpu_periods, usage.cpu_throttled_periods, usage.cpu_throttled_nanoseconds) == (9, 2, 5)
    assert (usage.memory_max_usage_bytes, usage.memory_failures) == (5, 6)
    assert (usage.cache_bytes, usage.mapped_file_bytes, usage.active_file_bytes) == (7, 8, 9)
    assert usage.disk_bytes == (DiskTransfers(major=8, minor=1, operation="Read", amount=512),)
    assert usage.disk_transfers == (DiskTransfers(major=8, minor=1, operation="Write", amount=1),)


def test_an_engine_that_counts_no_transfers_says_null() -> None:
    blkio = {"io_service_bytes_recursive": None}
    assert parse_usage({"blkio_stats": blkio}, NOW).disk_bytes == ()


@pytest.mark.parametrize("read", [None, "", "0001-01-01T00:00:00Z"])
def test_a_sample_without_a_time_is_as_of_now(read: str | None) -> None:
    assert parse_usage({"read": read}, NOW).sampled_at == NOW
