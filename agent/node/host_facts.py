"""What the agent reads of its host: identifiers, disk and memory. Reads only; `node_status.py` judges."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from control.api.quantity import format_bytes

HUGE_PAGES_ROOT = Path("/sys/kernel/mm/hugepages")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """Facts that do not change while the agent runs."""

    machine_id: str
    system_uuid: str
    boot_id: str
    os_image: str
    kernel_version: str
    #: the agent can make mounts read-only with all that is mounted below them, where the engine finds them
    can_recurse: bool = False
    #: the engine's directories are the agent's too
    sees_engine_files: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUsage:
    """What is free now, in bytes and counts; 0 totals mean unknown."""

    disk_bytes: int = 0
    disk_available_bytes: int = 0
    memory_available_bytes: int | None = None
    pid_max: int = 0
    pids: int = 0
    #: bytes of huge pages by their size (`2Mi`), for each size that the kernel knows
    huge_pages: Mapping[str, int] = field(default_factory=dict)


def read_host_facts() -> HostFacts:
    """Read identifiers and names."""
    return HostFacts(
        machine_id=_read("/etc/machine-id"),
        system_uuid=_read("/sys/class/dmi/id/product_uuid") or _read("/etc/machine-id"),
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        os_image=_os_image(),
        kernel_version=platform.release(),
    )


def read_host_usage(engine_root: str, state_dir: Path) -> HostUsage:
    """Read what is free on the engine's disk (or, if it is out of reach, on that of the agent's state)."""
    root = engine_root if os.path.isdir(engine_root) else str(state_dir)
    disk = os.statvfs(root)
    memory = _memory_available_bytes()
    return HostUsage(
        disk_bytes=disk.f_blocks * disk.f_frsize,
        disk_available_bytes=disk.f_bavail * disk.f_frsize,
        memory_available_bytes=memory,
        pid_max=int(_read("/proc/sys/kernel/pid_max") or 0),
        pids=_thread_count(),
        huge_pages=read_huge_pages(),
    )


def read_huge_pages(root: Path = HUGE_PAGES_ROOT) -> dict[str, int]:
    """Bytes of huge pages that the host has set aside, by their size (`2Mi`)."""
    found = {}
    with suppress(OSError):
        for directory in sorted(root.iterdir()):
            kibibytes = int(directory.name.removeprefix("hugepages-").removesuffix("kB"))
            pages = int(_read(str(directory / "nr_hugepages")) or 0)
            found[format_bytes(kibibytes << 10)] = pages * (kibibytes << 10)
    return found


def _memory_available_bytes() -> int | None:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _thread_count() -> int:
    words = _read("/proc/loadavg").split()
    return int(words[3].partition("/")[2]) if len(words) > 3 else 0


def _os_image() -> str:
    for line in _read("/etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip('"')
    return platform.system()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
