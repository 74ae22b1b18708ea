"""From Docker's stats to what a container uses. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent.runtime.engine_records import parse_engine_time

# cgroup v1 has no limit but this many bytes, rounded down to pages.
UNLIMITED_BYTES = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskTransfers:
    """Bytes and transfers of one kind (`Read`, `Write`, ...) on one device."""

    major: int
    minor: int
    operation: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUsage:
    """Totals since the container's start, and its memory and threads now. `sampled_at` is the engine's word.

    `memory_limit_bytes` is 0 for a container without a limit.
    """

    sampled_at: datetime
    cpu_nanoseconds: int
    memory_usage_bytes: int
    memory_working_set_bytes: int
    memory_rss_bytes: int
    memory_limit_bytes: int = 0
    memory_max_usage_bytes: int = 0
    memory_failures: int = 0
    cache_bytes: int = 0
    mapped_file_bytes: int = 0
    active_file_bytes: int = 0
    inactive_file_bytes: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    threads: int = 0
    cpu_user_nanoseconds: int = 0
    cpu_system_nanoseconds: int = 0
    cpu_periods: int = 0
    cpu_throttled_periods: int = 0
    cpu_throttled_nanoseconds: int = 0
    disk_bytes: tuple[DiskTransfers, ...] = ()
    disk_transfers: tuple[DiskTransfers, ...] = ()


def parse_usage(sample: Mapping[str, Any], now: datetime, host_memory_bytes: int = 0) -> ContainerUsage:
    """Read one sample of cgroup v1 or v2. The working set is what cannot be dropped: usage less inactive file pages.

    `now` is the time of a sample that does not name its own. A limit of at least the host's memory is none: the engine
    gives that for containers without one.
    """
    memory = sample.get("memory_stats") or {}
    details = memory.get("stats") or {}
    usage = int(memory.get("usage") or 0)
    limit = int(memory.get("limit") or 0)
    processor = sample.get("cpu_stats") or {}
    cpu, throttling = processor.get("cpu_usage") or {}, processor.get("throttling_data") or {}
    disk = sample.get("blkio_stats") or {}

    def detail(*names: str) -> int:
        return next((int(details[name]) for name in names if details.get(name)), 0)

    inactive_file_bytes = detail("total_inactive_file", "inactive_file")
    return ContainerUsage(
        sampled_at=parse_engine_time(str(sample.get("read") or "")) or now,
        cpu_nanoseconds=int(cpu.get("total_usage") or 0),
        cpu_user_nanoseconds=int(cpu.get("usage_in_usermode") or 0),
        cpu_system_nanoseconds=int(cpu.get("usage_in_kernelmode") or 0),
        cpu_periods=int(throttling.get("periods") or 0),
        cpu_throttled_periods=int(throttling.get("throttled_periods") or 0),
        cpu_throttled_nanoseconds=int(throttling.get("throttled_time") or 0),
        memory_usage_bytes=usage,
        memory_working_set_bytes=max(0, usage - inactive_file_bytes),
        memory_rss_bytes=detail("total_rss", "rss", "anon"),
        memory_limit_bytes=0 if limit >= (host_memory_bytes or UNLIMITED_BYTES) else limit,
        memory_max_usage_bytes=int(memory.get("max_usage") or 0),
        memory_failures=int(memory.get("failcnt") or 0),
        cache_bytes=detail("total_cache", "cache", "file"),
        mapped_file_bytes=detail("total_mapped_file", "mapped_file", "file_mapped"),
        active_file_bytes=detail("total_active_file", "active_file"),
        inactive_file_bytes=inactive_file_bytes,
        page_faults=detail("total_pgfault", "pgfault"),
        major_page_faults=detail("total_pgmajfault", "pgmajfault"),
        threads=int((sample.get("pids_stats") or {}).get("current") or 0),
        disk_bytes=_transfers(disk.get("io_service_bytes_recursive") or ()),
        disk_transfers=_transfers(disk.get("io_serviced_recursive") or ()),
    )


def _transfers(entries: Sequence[Mapping[str, Any]]) -> tuple[DiskTransfers, ...]:
    """cgroup v1 says `Read`, v2 `read`."""
    return tuple(
        DiskTransfers(
            major=int(entry["major"]),
            minor=int(entry["minor"]),
            operation=str(entry["op"]).capitalize(),
            amount=int(entry["value"]),
        )
        for entry in entries
    )
