"""The open files of a container's processes, as cadvisor counts them (container/libcontainer/handler.go). Blocking."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.usage.container_cgroup import PROC


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerProcesses:
    """`open_files_max` is the soft limit of the first process, -1 for none."""

    open_files: int = 0
    sockets: int = 0
    open_files_max: int = 0


def read_container_processes(first: int, process_ids: Iterable[int], proc: Path = PROC) -> ContainerProcesses:
    """Count; processes that end meanwhile count nothing."""
    open_files = sockets = 0
    for process_id in process_ids:
        with suppress(OSError):
            for entry in os.scandir(proc / str(process_id) / "fd"):
                open_files += 1
                with suppress(OSError):
                    sockets += os.readlink(entry.path).startswith("socket:")
    limits = ""
    with suppress(OSError):
        limits = (proc / str(first) / "limits").read_text()
    return ContainerProcesses(open_files=open_files, sockets=sockets, open_files_max=open_files_max(limits))


def open_files_max(limits: str) -> int:
    """The soft limit in /proc/PID/limits."""
    for line in limits.splitlines():
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return -1 if soft == "unlimited" else int(soft)
    return 0
