"""From Docker's stats to what `/stats/summary` and `/metrics/resource` say about a container. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUsage:
    """Totals since the container's start, and its memory now."""

    cpu_nanoseconds: int
    memory_usage_bytes: int
    memory_working_set_bytes: int
    memory_rss_bytes: int


def parse_usage(sample: Mapping[str, Any]) -> ContainerUsage:
    """Read one sample of cgroup v1 or v2. The working set is what cannot be dropped: usage less inactive file pages."""
    memory = sample.get("memory_stats") or {}
    details = memory.get("stats") or {}
    usage = int(memory.get("usage") or 0)
    inactive = int(details.get("total_inactive_file") or details.get("inactive_file") or 0)
    cpu = (sample.get("cpu_stats") or {}).get("cpu_usage") or {}
    return ContainerUsage(
        cpu_nanoseconds=int(cpu.get("total_usage") or 0),
        memory_usage_bytes=usage,
        memory_working_set_bytes=max(0, usage - inactive),
        memory_rss_bytes=int(details.get("total_rss") or details.get("rss") or details.get("anon") or 0),
    )
