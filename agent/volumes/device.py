"""A file system on a block device: made where there is none, checked and mounted where there is one.

The steps and words are the kubelet's (formatAndMount of k8s.io/mount-utils, v1.36), and so are the programs: blkid,
fsck, mkfs and mount of the node. Blocking.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from agent.volumes.protocol import VolumeError

DEFAULT_FILE_SYSTEM = "ext4"
COMMAND_SECONDS_MAX = 600
_BLKID_NOTHING_FOUND = 2
_FSCK_UNCORRECTED = 4
_FORMAT_OPTIONS = {"ext3": ("-F", "-m0"), "ext4": ("-F", "-m0"), "xfs": ("-f",)}

_EXT = ("ext2", "ext3", "ext4")

#: two Pods must not both find a device empty
_one_at_a_time = threading.Lock()


def format_and_mount(
    device: Path, target: Path, *, file_system: str, options: Sequence[str], read_only: bool, size_bytes: int = 0
) -> None:
    """Mount the device, formatted if it holds nothing, grown towards a size if it is smaller. Raises VolumeError."""
    with _one_at_a_time:
        existing = find_format(device)
        if not existing:
            if read_only:
                raise VolumeError(f"cannot mount unformatted disk {device} as we are manipulating it in read-only mode")
            _format(device, file_system)
        elif not read_only:
            _check(device)
        _mount(device, target, file_system, existing, [*options, *(["ro"] if read_only else ())])
        if existing and not read_only and _size(target) < size_bytes:
            _grow(device, target, existing)


def find_format(device: Path) -> str:
    """The file system on a device; empty if it holds nothing. Partitions are a format that nothing can mount."""
    result = _run("blkid", "-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "export", str(device))
    if result.returncode == _BLKID_NOTHING_FOUND:
        return ""
    if result.returncode:
        raise VolumeError(f"cannot find out what {device} holds: {_output(result)}")
    found = dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)
    return "unknown data, probably partitions" if "PTTYPE" in found else found.get("TYPE", "")


def _format(device: Path, file_system: str) -> None:
    result = _run(f"mkfs.{file_system}", *_FORMAT_OPTIONS.get(file_system, ()), str(device))
    if result.returncode:
        raise VolumeError(
            f'format of disk "{device}" failed: type:("{file_system}") errcode:(exit status {result.returncode}) '
            f"output:({_output(result)})"
        )


def _check(device: Path) -> None:
    """Repair what can be repaired without asking; a file system that has no such program is mounted as it is."""
    try:
        result = _run("fsck", "-a", str(device))
    except VolumeError:
        return
    if result.returncode == _FSCK_UNCORRECTED:
        raise VolumeError(
            f"'fsck' found errors on device {device} but could not correct them: {_output(result)}",
        )


def _mount(device: Path, target: Path, file_system: str, existing: str, options: Sequence[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    result = _run("mount", "-t", file_system, "-o", ",".join(("defaults", *options)), str(device), str(target))
    if result.returncode == 0:
        return
    if existing and existing != file_system:
        raise VolumeError(
            f'failed to mount the volume as "{file_system}", it already contains {existing}. '
            f"Mount error: {_output(result)}"
        )
    raise VolumeError(f"mount failed: exit status {result.returncode}: {_output(result)}")


def _grow(device: Path, target: Path, file_system: str) -> None:
    """As far as the device goes (ResizeFs.Resize). One that has no such program stays as it is."""
    commands = {"xfs": ("xfs_growfs", "-d", str(target)), **dict.fromkeys(_EXT, ("resize2fs", str(device)))}
    try:
        result = _run(*commands[file_system])
    except (KeyError, VolumeError):
        return
    if result.returncode:
        raise VolumeError(
            f"resize of device {device} failed: exit status {result.returncode}. {result.args[0]} output: "
            f"{_output(result)}"
        )


def _size(target: Path) -> int:
    disk = os.statvfs(target)
    return disk.f_blocks * disk.f_frsize


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS_MAX, check=False
        )
    except FileNotFoundError as error:
        raise VolumeError(f'executable file "{command[0]}" not found on the node') from error
    except subprocess.TimeoutExpired as error:
        raise VolumeError(f"{command[0]} did not end within {COMMAND_SECONDS_MAX} seconds") from error


def _output(result: subprocess.CompletedProcess[str]) -> str:
    return " ".join(f"{result.stdout}{result.stderr}".split())
