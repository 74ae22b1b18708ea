"""From Docker's stats to what a container uses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent.runtime.engine_records import parse_engine_time

# cgroup v1 has no limit but this many bytes, rounded down to pages.
UNLIMITED_BYTES = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUsage:
    """Totals since the container's start, and its memory and processes now. `sampled_at` is the engine's word.

    `memory_limit_bytes` is 0 for a container without a limit.
    """

    sampled_at: datetime
    cpu_nanoseconds: int
    memory_usage_bytes: int
    memory_working_set_bytes: int
    memory_rss_bytes: int
    memory_limit_bytes: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    processes: int = 0


def parse_usage(sample: Mapping[str, Any], now: datetime, host_memory_bytes: int = 0) -> ContainerUsage:
    """Read one sample of cgroup v1 or v2. The working set is what cannot be dropped: usage less inactive file pages.

    `now` is the time of a sample that does not name its own. A limit of at least the host's memory is none: the engine
    gives that for containers without one.
    """
    memory = sample.get("memory_stats") or {}
    details = memory.get("stats") or {}
    usage = int(memory.get("usage") or 0)
    limit = int(memory.get("limit") or 0)
    cpu = (sample.get("cpu_stats") or {}).get("cpu_usage") or {}

    def detail(*names: str) -> int:
        return next((int(details[name]) for name in names if details.get(name)), 0)

    return ContainerUsage(
        sampled_at=parse_engine_time(str(sample.get("read") or "")) or now,
        cpu_nanoseconds=int(cpu.get("total_usage") or 0),
        memory_usage_bytes=usage,
        memory_working_set_bytes=max(0, usage - detail("total_inactive_file", "inactive_file")),
        memory_rss_bytes=detail("total_rss", "rss", "anon"),
        memory_limit_bytes=0 if limit >= (host_memory_bytes or UNLIMITED_BYTES) else limit,
        page_faults=detail("total_pgfault", "pgfault"),
        major_page_faults=detail("total_pgmajfault", "pgmajfault"),
        processes=int((sample.get("pids_stats") or {}).get("current") or 0),
    )
