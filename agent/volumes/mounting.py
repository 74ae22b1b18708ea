"""The mount system calls volumes need: tmpfs, bind mounts, and knowing what is mounted. Linux, as root.

The agent must see the same mounts as the engine, or containers would be given the empty directories underneath; hence
`can_mount`.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

ENGINE_SOCKET = "/var/run/docker.sock"

_BIND, _READ_ONLY, _NO_DEV, _NO_SUID, _NO_EXEC, _DETACH = 4096, 1, 4, 2, 8, 2


def can_mount(engine_socket: str = ENGINE_SOCKET) -> bool:
    """Whether this process may mount, and the engine that listens on the socket sees what it mounts."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(engine_socket)
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        engine_pid = struct.unpack("3i", credentials)[0]
        return os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{engine_pid}/ns/mnt")
    except OSError:
        return False


def mount_tmpfs(target: Path, *, size_bytes: int | None = None, mode: int = 0o777) -> None:
    """Mount an empty memory file system; without a size it may grow to half of the host's memory."""
    options = f"mode={mode:o}" + (f",size={size_bytes}" if size_bytes is not None else "")
    _call("mount", b"tmpfs", os.fsencode(target), b"tmpfs", _NO_SUID | _NO_DEV, options.encode())


def mount_overlay(target: Path, layers: Sequence[str]) -> None:
    """Mount directories over one another, the first on top, read-only. Raises OSError, also for too many layers."""
    flags = _READ_ONLY | _NO_SUID | _NO_DEV | _NO_EXEC
    _call("mount", b"overlay", os.fsencode(target), b"overlay", flags, f"lowerdir={':'.join(layers)}".encode())


def bind_descriptor(descriptor: int, target: Path) -> None:
    """Bind what a descriptor refers to, whatever its name points at by now."""
    _call("mount", f"/proc/self/fd/{descriptor}".encode(), os.fsencode(target), None, _BIND, None)


def unmount(target: Path) -> None:
    """Detach a mount, also while it is in use."""
    _call("umount2", os.fsencode(target), _DETACH)


def mounts_below(directory: Path) -> list[Path]:
    """Mount points at or below a directory, the deepest first."""
    prefix = f"{directory.resolve()}/"
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except FileNotFoundError:
        return []
    points = [_unescape(line.split(" ")[4]) for line in lines]
    found = [point for point in points if f"{point}/".startswith(prefix)]
    return [Path(point) for point in sorted(found, key=len, reverse=True)]


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def _call(name: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    converted = [ctypes.c_ulong(one) if isinstance(one, int) else one for one in arguments]
    if getattr(library, name)(*converted) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
