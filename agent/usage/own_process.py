"""What the agent's own process uses, by the names that every Prometheus client has (`process_*`). Blocking reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from agent.node.host_counters import boot_time
from agent.usage.container_cgroup import PROC
from agent.usage.container_processes import open_files_max
from agent.usage.prometheus import MetricFamily, single_sample

#: columns of /proc/PID/stat after the name in parentheses, which may hold anything
_USER_TICKS, _SYSTEM_TICKS, _START_TICKS, _VIRTUAL_BYTES, _RESIDENT_PAGES = 11, 12, 19, 20, 21


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnProcess:
    """Since its start. `started_at` is in seconds since the epoch."""

    cpu_seconds: float
    resident_bytes: int
    virtual_bytes: int
    started_at: float
    open_files: int
    open_files_max: int


def read_own_process(proc: Path = PROC) -> OwnProcess:
    """This process."""
    own = proc / "self"
    columns = (own / "stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return OwnProcess(
        cpu_seconds=(int(columns[_USER_TICKS]) + int(columns[_SYSTEM_TICKS])) / ticks,
        resident_bytes=int(columns[_RESIDENT_PAGES]) * os.sysconf("SC_PAGE_SIZE"),
        virtual_bytes=int(columns[_VIRTUAL_BYTES]),
        started_at=boot_time((proc / "stat").read_text()) + int(columns[_START_TICKS]) / ticks,
        open_files=len(os.listdir(own / "fd")),
        open_files_max=open_files_max((own / "limits").read_text()),
    )


def process_metrics(process: OwnProcess) -> list[MetricFamily]:
    """All families."""
    facts: tuple[tuple[str, str, str, float], ...] = (
        ("cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", process.cpu_seconds),
        ("max_fds", "gauge", "Maximum number of open file descriptors.", process.open_files_max),
        ("open_fds", "gauge", "Number of open file descriptors.", process.open_files),
        ("resident_memory_bytes", "gauge", "Resident memory size in bytes.", process.resident_bytes),
        (
            "start_time_seconds",
            "gauge",
            "Start time of the process since unix epoch in seconds.",
            process.started_at,
        ),
        ("virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", process.virtual_bytes),
    )
    return [single_sample(f"process_{name}", kind, text, value) for name, kind, text, value in facts]
