"""The mount system calls volumes need: tmpfs, bind mounts, and knowing what is mounted. Linux, as root.

The agent must see the same mounts as the engine, or containers would be given the empty directories underneath; hence
`can_mount`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.runtime.engine_address import engine_address, engine_socket_path

# <linux/mount.h>; the numbers of these calls are the same on every architecture.
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 0x1, 0x2, 0x4, 0x8
MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_STRICTATIME = 0x70, 0x10, 0x20
MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOSYMFOLLOW = 0x80, 0x200000
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_PRIVATE = 1 << 18

_BIND, _READ_ONLY, _NO_DEV, _NO_SUID, _NO_EXEC, _DETACH = 4096, 1, 4, 2, 8, 2


def can_mount() -> bool:
    """Whether this process may mount, and the engine, which must be of this host, sees what it mounts."""
    engine_socket = engine_socket_path(engine_address())
    if engine_socket is None or sys.platform != "linux" or os.geteuid() != 0:
        return False
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(engine_socket)
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        engine_pid = struct.unpack("3i", credentials)[0]
        return os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{engine_pid}/ns/mnt")
    except OSError:
        return False


def mount_tmpfs(target: Path, *, size_bytes: int | None = None) -> None:
    """Mount an empty memory file system, which everybody may use; without a size it may grow to half of the memory.

    What is in it is never swapped out, where the kernel can do without (Linux 6.4).
    """
    options = "mode=1777" + (f",size={size_bytes}" if size_bytes is not None else "")
    try:
        _call("mount", b"tmpfs", os.fsencode(target), b"tmpfs", 0, f"{options},noswap".encode())
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _call("mount", b"tmpfs", os.fsencode(target), b"tmpfs", 0, options.encode())


def mount_huge_pages(target: Path, *, page_bytes: int) -> None:
    """Mount an empty file system of huge pages. Raises OSError for a size of pages that the kernel does not have."""
    options = f"pagesize={page_bytes >> 10}K"
    _call("mount", b"nodev", os.fsencode(target), b"hugetlbfs", 0, options.encode())


def mount_overlay(target: Path, layers: Sequence[str]) -> None:
    """Mount directories over one another, the first on top, read-only. Raises OSError, also for too many layers."""
    flags = _READ_ONLY | _NO_SUID | _NO_DEV | _NO_EXEC
    _call("mount", b"overlay", os.fsencode(target), b"overlay", flags, f"lowerdir={':'.join(layers)}".encode())


def has_mount_attributes() -> bool:
    """Whether the kernel can change the attributes of a whole tree of mounts (mount_setattr, Linux 5.12)."""
    if sys.platform != "linux":
        return False
    try:
        _system_call(_MOUNT_SETATTR, -1, b"", 0, None, 0)
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True


def mount_copy(source: Path, target: Path, *, attributes: int = 0, cleared: int = 0, recursive: bool = False) -> None:
    """Mount what is at the source on the target, with other attributes (`MOUNT_ATTR_*`); linux 5.12.

    `recursive` takes along what is mounted below the source, attributes included. The copy is complete before it is
    attached: nobody sees it otherwise, and a crash leaves nothing. Later mounts and unmounts travel neither way.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    tree = _system_call(_OPEN_TREE, _AT_FDCWD, os.fsencode(source), flags)
    try:
        depth = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
        change = struct.pack("=4Q", attributes, cleared, _PRIVATE, 0)
        _system_call(_MOUNT_SETATTR, tree, b"", depth, change, len(change))
        _system_call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def renew_mount_point(target: Path, *, is_directory: bool) -> None:
    """Make an empty place to mount on, after detaching what a former start left there. Raises OSError."""
    if os.path.lexists(target):
        try:
            unmount(target)
        except OSError:
            pass  # left over from a crash before it was mounted
        # Only what is empty is removed: a mount that would not go must not lose its files.
        if target.is_dir():
            target.rmdir()
        elif target.stat().st_size == 0:
            target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_directory:
        target.mkdir()
    else:
        target.touch()


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


def read_only_layers() -> frozenset[str]:
    """The directories that overlays show which nobody can write to. The layers of containers are not among them."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except FileNotFoundError:
        return frozenset()
    found: set[str] = set()
    for line in lines:
        kind, _, options = line.partition(" - ")[2].split(" ", 2)
        if kind == "overlay" and "upperdir=" not in options:
            lower = next((one for one in options.split(",") if one.startswith("lowerdir=")), "")
            found.update(_unescape(lower.removeprefix("lowerdir=")).split(":"))
    return frozenset(found)


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def _system_call(number: int, *arguments: object) -> int:
    """For calls that older C libraries have no function for."""
    library = ctypes.CDLL(None, use_errno=True)
    converted = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = int(library.syscall(ctypes.c_long(number), *converted))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _call(name: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    converted = [ctypes.c_ulong(one) if isinstance(one, int) else one for one in arguments]
    if getattr(library, name)(*converted) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
