"""What the agent reads of its host: identifiers, disk and memory. Reads only; `node_status.py` judges."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.node.host_memory import read_memory
from control.api.quantity import format_bytes

HUGE_PAGES_ROOT = Path("/sys/kernel/mm/hugepages")
GPUS_ROOT = Path("/proc/driver/nvidia/gpus")


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
    #: UUIDs of NVIDIA's graphics cards
    gpus: tuple[str, ...] = ()
    #: the engine's directories are the agent's too
    sees_engine_files: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUsage:
    """A file system: bytes, and inodes where it has a fixed number of them. Zero totals mean unknown.

    `device` tells file systems apart.
    """

    capacity_bytes: int = 0
    available_bytes: int = 0
    inodes: int = 0
    inodes_free: int = 0
    device: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUsage:
    """What is free now, in bytes and counts; 0 totals mean unknown.

    `node_disk` holds the agent's directory, `image_disk` the engine's. `memory_available_bytes` is the kubelet's
    memory.available: all memory less the working set of the whole machine. `swap_bytes` are all there is.
    """

    node_disk: DiskUsage = DiskUsage()
    image_disk: DiskUsage = DiskUsage()
    memory_bytes: int = 0
    memory_available_bytes: int = 0
    swap_bytes: int = 0
    pid_max: int = 0
    pids: int = 0
    #: bytes of huge pages by their size (`2Mi`), for each size that the kernel knows
    huge_pages: Mapping[str, int] = field(default_factory=dict)

    @property
    def has_image_disk(self) -> bool:
        """Whether images and containers have a file system of their own."""
        return self.node_disk.device != self.image_disk.device


def read_host_facts() -> HostFacts:
    """Read identifiers and names."""
    return HostFacts(
        machine_id=_read("/etc/machine-id"),
        system_uuid=_read("/sys/class/dmi/id/product_uuid") or _read("/etc/machine-id"),
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        os_image=_os_image(),
        kernel_version=platform.release(),
        gpus=read_gpus(),
    )


def read_host_usage(engine_root: str, state_dir: Path) -> HostUsage:
    """Read what is free. An engine's directory that is out of reach counts as being beside the agent's."""
    node_disk = read_disk_usage(str(state_dir))
    image_disk = read_disk_usage(engine_root) if os.path.isdir(engine_root) else node_disk
    memory = read_memory()
    return HostUsage(
        node_disk=node_disk,
        image_disk=image_disk,
        memory_bytes=memory.capacity_bytes,
        memory_available_bytes=memory.available_bytes,
        swap_bytes=memory.swap_capacity_bytes,
        pid_max=int(_read("/proc/sys/kernel/pid_max") or 0),
        pids=_thread_count(),
        huge_pages=read_huge_pages(),
    )


def read_gpus(root: Path = GPUS_ROOT) -> tuple[str, ...]:
    """UUIDs of the graphics cards that NVIDIA's driver shows."""
    found = []
    with suppress(OSError):
        for directory in sorted(root.iterdir()):
            for line in _read(str(directory / "information")).splitlines():
                name, _, value = line.partition(":")
                if name.strip() == "GPU UUID":
                    found.append(value.strip())
    return tuple(found)


def read_huge_pages(root: Path = HUGE_PAGES_ROOT) -> dict[str, int]:
    """Bytes of huge pages that the host has set aside, by their size (`2Mi`)."""
    found = {}
    with suppress(OSError):
        for directory in sorted(root.iterdir()):
            kibibytes = int(directory.name.removeprefix("hugepages-").removesuffix("kB"))
            pages = int(_read(str(directory / "nr_hugepages")) or 0)
            found[format_bytes(kibibytes << 10)] = pages * (kibibytes << 10)
    return found


def read_disk_usage(directory: str) -> DiskUsage:
    """The file system of a directory that exists."""
    disk = os.statvfs(directory)
    return DiskUsage(
        capacity_bytes=disk.f_blocks * disk.f_frsize,
        available_bytes=disk.f_bavail * disk.f_frsize,
        inodes=disk.f_files,
        inodes_free=disk.f_favail,
        device=os.stat(directory).st_dev,
    )


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
