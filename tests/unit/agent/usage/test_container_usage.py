from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agent.usage.container_usage import ContainerUsage, parse_usage

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
        processes=3,
    )


@pytest.mark.parametrize(
    ("limit", "host_bytes"),
    [(1 << 30, 1 << 30), ((1 << 63) - 4096, 0)],
    ids=["as much as the host has", "as much as a cgroup can have"],
)
def test_such_a_limit_is_none(limit: int, host_bytes: int) -> None:
    assert parse_usage(sample(V1, limit=limit), NOW, host_bytes).memory_limit_bytes == 0


@pytest.mark.parametrize("read", [None, "", "0001-01-01T00:00:00Z"])
def test_a_sample_without_a_time_is_as_of_now(read: str | None) -> None:
    assert parse_usage({"read": read}, NOW).sampled_at == NOW
